"""A stage is registered by its file alone, and has all that belongs to a component."""

from __future__ import annotations

import re
import sys
import tomllib
import types
from importlib import import_module
from pathlib import Path

import pytest

from images.build import BASE, FOLDERS, PODS
from ncf.stage import registry
from ncf.stage.command import COMMANDS, load
from ncf.stage.declaration import LAUNCHER, Stage
from ncf.stage.registry import all_stages, command_names, load_stage, stage_names

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
STAGES = stage_names()


def dockerfile(image: str) -> str:
    return (ROOT / "images" / image / "Dockerfile").read_text()


def test_every_component_has_a_stage_and_every_stage_a_component() -> None:
    assert {path.parent.name for path in (ROOT / "components").glob("*/component.py")} == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_a_component_its_yaml_and_a_test(name: str) -> None:
    folder = ROOT / "components" / name
    made = getattr(import_module(f"components.{name}.component"), name)
    assert made.name == name.replace("_", "-")
    for path, remedy in (
        (folder / "__init__.py", "a file with a docstring"),
        (folder / "component.yaml", "'make pipeline' writes it"),
        (ROOT / "tests" / "stages" / f"test_{name}.py", "see 'Add a component' in components/README.md, step 3"),
    ):
        assert path.is_file(), f"{path.relative_to(ROOT)} is missing: {remedy}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_s_image_is_built_and_installs_its_extra(name: str) -> None:
    stage = load_stage(name)
    assert stage.image in PODS
    assert f"install {stage.extra}\n" in dockerfile(stage.image), f"images/{stage.image}/Dockerfile: extra of {name}"
    assert stage.extra in EXTRAS, f"pyproject.toml: no extra '{stage.extra}', which the stage {name} names"


def test_every_image_is_of_a_stage_or_is_run_by_sagemaker() -> None:
    images_of_jobs = {image for stage in all_stages() for image in stage.default_images.values()}
    assert set(FOLDERS) == {*PODS, *images_of_jobs}
    assert BASE not in FOLDERS


@pytest.mark.parametrize("name", STAGES)
def test_a_launcher_s_image_is_its_own_only_if_it_works_itself(name: str) -> None:
    stage = load_stage(name)
    if stage.default_images:
        assert stage.image == LAUNCHER, "an image for SageMaker is launched from the image that calls AWS"


@pytest.mark.parametrize("name", STAGES)
def test_names_follow_one_rule(name: str) -> None:
    stage = load_stage(name)
    assert stage.name == name
    assert stage.command_name() == name.replace("_", "-")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert load_stage(stage.command_name()) is load(stage.command_name()) is stage


def test_commands_are_the_stages_and_a_few_more() -> None:
    assert not set(COMMANDS) & set(command_names())
    for name in COMMANDS:
        assert load(name).command_name() == name


def test_a_file_without_its_class_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ncf.stages.half_done")
    module.__file__ = "half_done.py"
    monkeypatch.setitem(sys.modules, "ncf.stages.half_done", module)
    with pytest.raises(TypeError, match=r"half_done.py: expected a class HalfDone\(Stage\)"):
        load_stage("half-done")


def test_image_and_extra_are_the_stage_s_own_unless_it_says_otherwise() -> None:
    class OwnImage(Stage):
        """A stage."""

        def run(self) -> None: ...

    class Launched(Stage):
        """A stage."""

        image = LAUNCHER

        def run(self) -> None: ...

    class Borrowed(Stage):
        """A stage."""

        extra = "evaluate"

        def run(self) -> None: ...

    assert (OwnImage.image, OwnImage.extra) == ("own_image", "own-image")
    assert (Launched.image, Launched.extra) == (LAUNCHER, LAUNCHER)
    assert (Borrowed.image, Borrowed.extra) == ("borrowed", "evaluate")


def test_listing_the_stages_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    assert "preprocess" in registry.stage_names()
