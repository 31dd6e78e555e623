"""Variables of ``make run`` and ``make recommend``."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> tuple[int, str]:
    """Exit status and output, with the commands printed that it would run."""
    command = ["make", "-n", "-o", ".venv/.ready", "-o", ".venv/.installed", *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    return made.returncode, made.stdout + made.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "data=ratings.csv"), "'data' is not a variable of 'make run'; did you mean DATA?"),
        (("run", "keep-endpoint=1"), "did you mean KEEP_ENDPOINT?"),
        (("run", "MODEL=model"), "'MODEL' is not a variable of 'make run'; expected one of: DATA EXECUTOR ITEMS"),
        (("run", "epochs=3"), 'parameters of the pipeline are given as PARAMS="epochs=5 model=gmf"'),
        (("recommend", "DATA=ratings.csv"), "'DATA' is not a variable of 'make recommend'"),
        (("lint", "PARAMS=x"), "'PARAMS' is not a variable of 'make lint'"),
    ],
)
def test_a_variable_that_the_target_does_not_use_is_refused(arguments: tuple[str, ...], said: str) -> None:
    code, out = make(*arguments)
    assert code == 2
    assert said in out


def test_values_reach_the_command_as_they_are() -> None:
    given = {"DATA": "it's mine.csv", "OUTPUT": "my output", "PARAMS": 'tower=[64, 32] train_overrides={"a": 1}'}
    code, out = make("run", "EXECUTOR=process", "TAG=1", *(f"{name}={value}" for name, value in given.items()))
    assert code == 0, out
    words = shlex.split(out.replace("\\\n", " "))
    flags = dict(zip(words[3::2], words[4::2], strict=True))
    assert flags == {
        "--data": given["DATA"],
        "--items": "",
        "--output": given["OUTPUT"],
        "--executor": "process",
        "--tag": "1",
        "--params": given["PARAMS"],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("images", "TAG=1", "PYTHON_IMAGE=x", "TRAIN_BASE=y", "LAUNCHER_EXTRAS=mlflow", "WHEELS=z"),
        ("push", "REGISTRY=x", "TAG=1"),
        ("pipeline", "REGISTRY=x", "TAG=1"),
        ("setup", "PYTHON=python3", "PIP_ARGS=-v"),
        ("bench-baselines", "DATA=x", "DATASETS=games"),
        ("bench-peer", "PEER=x", "DATA=y", "EPOCHS=1"),
        ("reproduce", "DATA=x", "SEEDS=5"),
        ("test", "ARGS=-x"),
    ],
)
def test_the_variables_of_a_target_are_known(arguments: tuple[str, ...]) -> None:
    code, out = make(*arguments)
    assert code == 0, out


@pytest.mark.parametrize(("given", "kept"), [("1", True), ("yes", True), ("0", False), ("no", False), ("", False)])
def test_keep_endpoint_can_be_switched_off(given: str, kept: bool) -> None:
    code, out = make("-n", "run", f"KEEP_ENDPOINT={given}")
    assert (code, "--keep-endpoint" in out) == (0, kept)
