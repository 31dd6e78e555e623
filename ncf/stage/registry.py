"""All stages: each file of ``ncf/stages`` holds one, and each stage is a KFP component of the same name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from ncf.stage.declaration import Stage

_FOLDER = Path(__file__).parents[1] / "stages"


def stage_names() -> tuple[str, ...]:
    """Names of all stages with underscores, in alphabetical order. No stage is imported."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(_FOLDER)])))


def command_names() -> tuple[str, ...]:
    """Names of all stages as commands and KFP components: with hyphens."""
    return tuple(name.replace("_", "-") for name in stage_names())


def load_stage(name: str) -> type[Stage]:
    """The class of a stage.

    Args:
        name: with underscores or hyphens.

    Raises:
        TypeError: if the file of that name does not declare the stage.
    """
    module = import_module(f"ncf.stages.{name.replace('-', '_')}")
    class_name = name.replace("-", " ").replace("_", " ").title().replace(" ", "")
    stage = getattr(module, class_name, None)
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        raise TypeError(f"{module.__file__}: expected a class {class_name}(Stage)")
    return stage


def all_stages() -> tuple[type[Stage], ...]:
    """The class of every stage, in alphabetical order."""
    return tuple(load_stage(name) for name in stage_names())
