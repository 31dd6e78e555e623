"""Whole runs in containers, as a user starts them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline
from components.local.aws.engine import Engine
from components.local.executors import in_containers
from images.build import Build, build_all
from ncf.errors import InputError
from tests.images.conftest import TAG, environment_of_runs, left_behind

PARAMETERS = ("factors=8", "tower=[16,8]", "gate_not_worse_than=none")


def start(output: Path, data: Any, *arguments: str, epochs: int = 3, **environment: str) -> subprocess.Popen[str]:
    flags = [part for parameter in (f"epochs={epochs}", *PARAMETERS) for part in ("--param", parameter)]
    command = [sys.executable, "pipeline.py", "run", "--data", str(data.interactions), "--items", str(data.items)]
    return subprocess.Popen(
        [*command, "--output", str(output), *flags, *arguments],
        cwd=pipeline.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment_of_runs(), **environment},
    )


def summary(output: Path, data: Any, *arguments: str) -> dict[str, Any]:
    process = start(output, data, *arguments)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    found: dict[str, Any] = json.loads((output / "summary.json").read_text())
    return found


def rounded(metrics: Any) -> Any:
    """But for the last digits, as BLAS may add up in another order."""
    return json.loads(json.dumps(metrics), parse_float=lambda text: round(float(text), 12))


@pytest.fixture(autouse=True)
def nothing_is_left(client: Any) -> Iterator[None]:
    before = set(left_behind(client))
    yield
    assert not set(left_behind(client)) - before


def test_containers_give_what_processes_give(client: Any, data: Any, tmp_path: Path) -> None:
    in_processes = summary(tmp_path / "processes", data)
    in_containers = summary(tmp_path / "containers", data, "--executor", "docker", "--tag", TAG)
    assert rounded(in_containers["metrics"]) == rounded(in_processes["metrics"])
    assert in_containers["gate_passed"]
    assert {stage["status"] for stage in in_containers["stages"]} == {"succeeded"}
    assert [stage["name"] for stage in in_containers["stages"]] == [stage["name"] for stage in in_processes["stages"]]
    found, expected = in_containers["recommendations"], in_processes["recommendations"]
    assert [entry["user"] for entry in found] == [entry["user"] for entry in expected]
    assert found[0]["items"][0]["title"] == expected[0]["items"][0]["title"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_running(client: Any, data: Any, tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "out", data, "--executor", "docker", "--tag", TAG, epochs=1000)
    assert process.stdout is not None
    for line in process.stdout:
        if "fit=selection epoch=1 " in line:
            break
    else:
        pytest.fail(f"training did not begin: {process.communicate()[1]}")
    assert left_behind(client), "the pod of train and the training container run"
    process.send_signal(number)
    begin = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143), err
    assert time.monotonic() - begin < 45
    assert "Traceback" not in err


def test_a_tag_that_was_not_built(client: Any, data: Any, tmp_path: Path) -> None:
    process = start(tmp_path / "out", data, "--executor", "docker", "--tag", "no-such-tag")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "ncf-preprocess:no-such-tag' is on" not in err
    assert "no image '" in err
    assert "make images" in err
    assert "▶" not in out, "no stage begins"


def test_an_engine_in_a_virtual_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pipeline.yaml"
    package.write_text((pipeline.ROOT / pipeline.PIPELINE_YAML).read_text())
    monkeypatch.setattr(Engine, "gateway", lambda *_: "203.0.113.1")  # reserved for documentation
    with pytest.raises(InputError, match=r"203\.0\.113\.1.*Docker Desktop"), in_containers(package, TAG, []):
        pytest.fail("nothing can listen there")


def test_a_base_without_python(tmp_path: Path) -> None:
    """A build says what its base lacks."""
    subprocess.run(
        ["docker", "import", "-", "ncf-test-empty:1"],
        input=_archive_with_a_shell(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(InputError, match="base image: no command 'python'; expected an image with Python 3.11"):
            build_all(Build("test", python_image="ncf-test-empty:1"))
    finally:
        subprocess.run(["docker", "image", "rm", "--force", "ncf-test-empty:1"], check=True, stdout=subprocess.DEVNULL)


def _archive_with_a_shell() -> bytes:
    """The root of a system that has a shell and no Python: that of the base image, without it."""
    command = [
        "docker",
        "run",
        "--rm",
        f"ncf-base:{TAG}",
        "tar",
        "-c",
        "--exclude=*python*",
        "-C",
        "/",
        "bin",
        "lib",
        "lib64",
        "usr",
        "tmp",
    ]
    return subprocess.run(command, check=True, capture_output=True).stdout
