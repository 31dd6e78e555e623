"""Checks of a stage's output paths: no input and no foreign file is overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ncf.artifacts import manifest
from ncf.errors import InputError
from ncf.stage.declaration import Stage
from ncf.storage import is_s3


def check_output_paths(stage: Stage) -> None:
    """Check the output paths of a stage before it does any work.

    A folder is replaced only if it is empty or if a stage has written it. A file is replaced only by a file.

    Raises:
        InputError: that names the parameter and the path.
    """
    outputs = {name: Path(getattr(stage, name)) for name in stage.outputs()}
    read = (*stage.inputs(), *stage.read_too)
    inputs = {name: Path(path) for name in read if (path := getattr(stage, name)) and not is_s3(path)}
    for name, path in outputs.items():
        at_fault = f"{stage.command_name()}: parameter '{name}' is '{path}'"
        others = {other: path for other, path in outputs.items() if other != name}
        if clause := overlap(path, {**inputs, **others}):
            raise InputError(f"{at_fault}, {clause}; choose another path")
        if stage.outputs()[name].is_folder:
            if path.exists() and not path.is_dir():
                raise InputError(f"{at_fault}, which is a file; expected a folder, or a path that does not exist yet")
            if path.is_dir() and (foreign := manifest.foreign(path)):
                raise InputError(
                    f"{at_fault}: that folder exists and holds '{foreign}', which no stage has written; "
                    "choose another path, or an empty folder"
                )
        elif path.is_dir():
            raise InputError(f"{at_fault}, which is a folder; expected the name of a file")


def overlap(path: Path, others: Mapping[str, Path]) -> str:
    """The overlap of a path with others.

    Args:
        path: the path.
        others: paths by name.

    Returns:
        A relative clause that names the other path; '' if no path overlaps.
    """
    path = path.resolve()
    for name, other in others.items():
        resolved = other.resolve()
        if resolved == path:
            return f"which is '{name}' too"
        if resolved.is_relative_to(path):
            return f"which contains '{name}' ('{other}')"
        if path.is_relative_to(resolved):
            return f"which lies inside '{name}' ('{other}')"
    return ""
