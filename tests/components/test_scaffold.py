"""A new component as components/README.md tells it, to the letter, in a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components import scaffold
from ncf.errors import InputError
from ncf.stage.registry import stage_names

ROOT = Path(__file__).parents[2]
NAME = "popularity_report"
SECTION = (ROOT / "components" / "README.md").read_text().partition("## Add a component")[2].partition("\n## ")[0]
STEPS = dict(re.findall(r"^\*\*(\d)\. (.*?)(?=^\*\*\d\. |\Z)", SECTION, re.M | re.S))
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


def blocks(step: int, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(STEPS[str(step)]) if kind == language]


class Checkout:
    """A copy of the project's files, whose environment is this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.splitlines()):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        binaries = folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (binaries / "python").chmod(0o755)

    def sh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it is written; the environment is not set up anew."""
        command = re.sub(r"^make ", "make -o .venv/.ready ", command)
        return subprocess.run(["sh", "-c", command], cwd=self.folder, capture_output=True, text=True)

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def changed(self) -> set[str]:
        """Files that differ from those of the project, or are not there."""
        ours = [path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        names = {str(path.relative_to(self.folder)) for path in ours} - {".venv/bin/python"}
        return {
            name
            for name in names
            if not (ROOT / name).is_file() or (ROOT / name).read_bytes() != (self.folder / name).read_bytes()
        }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The project after steps 1 to 3, and 5."""
    made = Checkout(tmp_path_factory.mktemp("checkout"))
    (layout,) = blocks(1, "sh")
    assert (ran := made.sh(layout)).returncode == 0, ran.stderr
    for step, path in ((2, f"ncf/stages/{NAME}.py"), (3, f"tests/stages/test_{NAME}.py")):
        assert path in STEPS[str(step)]
        assert (made.folder / path).is_file(), "it was laid out"
        (made.folder / path).write_text(blocks(step, "python")[0])
    (compile_all,) = blocks(5, "sh")
    assert (ran := made.sh(compile_all)).returncode == 0, ran.stderr
    return made


def test_the_section_has_six_steps() -> None:
    assert list(STEPS) == list("123456")


def test_six_files_at_most(checkout: Checkout) -> None:
    assert checkout.changed() == {
        f"ncf/stages/{NAME}.py",
        f"components/{NAME}/__init__.py",
        f"components/{NAME}/component.py",
        f"components/{NAME}/component.yaml",
        f"tests/stages/test_{NAME}.py",
    }


def test_its_component_says_all_that_the_class_says(checkout: Checkout) -> None:
    text = (checkout.folder / "components" / NAME / "component.yaml").read_text()
    component = yaml.safe_load(text)
    (executor,) = component["deploymentSpec"]["executors"].values()
    assert executor["container"]["command"] == ["python", "-m", "ncf", "popularity-report"]
    assert "/ncf-sagemaker:" in executor["container"]["image"]
    parameter = component["components"]["comp-popularity-report"]["inputDefinitions"]["parameters"]["top_k"]
    assert parameter["defaultValue"] == 10
    assert parameter["description"] == "Number of items listed (1 <= value <= 1000)"


@pytest.mark.slow
def test_its_own_test_and_the_project_s_tests_of_stages_hold(checkout: Checkout) -> None:
    (own,) = blocks(3, "sh")
    tests = own.partition("ARGS=")[2].strip()
    ran = checkout.pytest(tests, "tests/stage/test_registry.py", "tests/cluster/test_permissions.py")
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_a_pipeline_takes_its_task(checkout: Checkout) -> None:
    (use,) = blocks(4, "python")
    imports, _, call = use.partition("\n\n")
    program = f"""
from kfp import compiler, dsl
from components.negative_sampling.component import negative_sampling
from components.preprocess.component import preprocess
{imports}

@dsl.pipeline(name="own")
def own(data_uri: str):
    data = task(preprocess, interactions_uri=data_uri)
    {call}
compiler.Compiler().compile(own, "own.yaml")
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=checkout.folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (checkout.folder / "own.yaml").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [f"components/{NAME}/component.py", f"components/{NAME}/component.yaml", f"tests/stages/test_{NAME}.py", "calls"],
)
def test_a_part_that_is_forgotten_is_named(checkout: Checkout, part: str) -> None:
    stage = checkout.folder / "ncf" / "stages" / f"{NAME}.py"
    path = stage if part == "calls" else checkout.folder / part
    kept = path.read_text()
    try:
        if part == "calls":
            path.write_text(kept.replace('    calls = ("ncf.storage",)\n', ""))
        else:
            path.unlink()
        tests = "tests/cluster/test_permissions.py" if part == "calls" else "tests/stage/test_registry.py"
        ran = checkout.pytest("-k", f"{NAME} or popularity-report or every", tests)
        assert ran.returncode == 1
        assert "popularity" in ran.stdout
    finally:
        path.write_text(kept)


def test_the_step_that_checks_names_tests_that_exist(checkout: Checkout) -> None:
    lint, test = blocks(6, "sh")[0].splitlines()
    assert lint == "make lint"
    for path in test.partition('ARGS="')[2].rstrip('"').split():
        assert (checkout.folder / path).exists()


@pytest.mark.parametrize("image", ["own", "sagemaker", "evaluate"])
def test_what_is_laid_out_works(image: str, tmp_path: Path) -> None:
    made = scaffold.files("item_counts", image)
    assert (Path("images/item_counts/Dockerfile") in made) == (image == "own")
    scaffold.write(tmp_path, made)
    first_party = 'lint.isort.known-first-party = ["components", "ncf"]'
    lint = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--config", first_party, str(tmp_path)]
    checked = subprocess.run([sys.executable, "-m", *lint], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    with pytest.raises(InputError, match="exists already; nothing was written"):
        scaffold.write(tmp_path, made)


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("", "own", "NAME: ''; expected lower-case words"),
        ("PopularityReport", "own", "NAME: 'PopularityReport'; expected"),
        ("../x", "own", "expected lower-case words"),
        (stage_names()[0], "own", "exists already"),
        ("stop_jobs", "own", "exists already"),
        ("factory", "own", "exists already"),
        ("class", "own", "expected lower-case words"),
        ("item_counts", "base", "IMAGE: 'base'; expected 'own' or one of: .*evaluate"),
    ],
)
def test_a_name_or_image_that_cannot_be_is_refused(name: str, image: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        scaffold.files(name, image)
