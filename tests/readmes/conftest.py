"""A copy of the checkout in which the commands of a README run, and what they meet instead of a cluster and of AWS."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pytest
from random_model import random_model
from readmes import ROOT
from warm_python import shared_python

from ncf.data import synthetic

_FOLDERS = (".ci", ".github", "components", "images", "ncf")
_FILES = ("Makefile", "pipeline.py", "pyproject.toml", "constraints.txt", "*.yaml")
_NOT_INHERITED = ("AWS_", "NCF_", "MAKE", "MFLAGS")
_ACCOUNT = "123456789012"
_CONFIG_MAP = {"data": {"defaultPipelineRoot": "s3://my-bucket/kfp"}}
_TOOL = f"""#!{sys.executable}
import json, os, pathlib, sys
with open(os.environ["CALLS"], "a") as calls:
    print(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]), file=calls)
if sys.argv[1:3] == ["get", "configmap"]:
    print({json.dumps(json.dumps(_CONFIG_MAP))})
"""
_TOOLS = ("aws", "docker", "gh", "kubectl")


@dataclass
class Sandbox:
    """A copy of the checkout with small data.

    Attributes:
        folder: of the copy.
        calls: file to which the stand-ins for ``aws``, ``docker``, ``gh`` and ``kubectl`` write their arguments.
        environment: for commands; ``export`` changes it.
    """

    folder: Path
    calls: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, **environment: str) -> str:
        """Run a shell command: what it prints on stdout.

        Raises:
            AssertionError: if it fails.
        """
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"
        return ran.stdout

    def words(self, command: str) -> list[str]:
        """Arguments of a command, with the variables in it replaced."""
        return [Template(word).safe_substitute(self.environment) for word in shlex.split(command)]

    def calls_of_tools(self) -> list[list[str]]:
        """Arguments of each call of a tool so far."""
        return [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """The checkout, data, a model and what ``make pipeline`` writes; it is up to date for make."""
    folder = tmp_path / "checkout"
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (path for pattern in _FILES for path in ROOT.glob(pattern)):
        shutil.copy(path, folder)
    _environment_of(folder, shared_python())
    _data(folder)
    _build(folder)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in _TOOLS:
        (tools / tool).write_text(_TOOL)
        (tools / tool).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    environment = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    return Sandbox(folder, tmp_path / "calls", environment)


def _environment_of(folder: Path, python: Path) -> None:
    """The virtual environment of the tests, newer than everything that it is made from."""
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith(".") and path.name != "bin":
            (venv / path.name).symlink_to(path)
    for path in (Path(sys.prefix) / "bin").iterdir():
        if not path.name.startswith("python"):
            (venv / "bin" / path.name).symlink_to(path)
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to(python.with_name(name))
    _, _, program = (Path(sys.prefix) / "bin" / "ncf").read_text().partition("\n")
    (venv / "bin" / "ncf").unlink()
    (venv / "bin" / "ncf").write_text(f"#!{venv}/bin/python\n{program}")
    (venv / "bin" / "ncf").chmod(0o755)
    now = time.time() + 60
    for name in (".installed", ".ready"):
        (venv / name).touch()
        os.utime(venv / name, (now, now))


def _data(folder: Path) -> None:
    """Interactions from 2017 on: a README has a test period that begins in 2018."""
    synthetic.write(folder / "data", users=150, items=200, interactions=4_500, seed=3)
    (folder / "data" / "items.csv").rename(folder / "movies.csv")
    header, *rows = (folder / "data" / "interactions.csv").read_text().splitlines()
    assert header == "user,item,rating,timestamp"
    earlier = [(row, int(time) - 3 * synthetic.YEAR) for row, _, time in (row.rpartition(",") for row in rows)]
    for name, columns in (("ratings", header), ("purchases", "buyer,sku,rating,timestamp")):
        lines = [columns, *(f"{row},{time}" for row, time in earlier)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    kinds = ("view", "view", "cart", "purchase")
    events = [
        f"{row.rpartition(',')[0]},{kinds[place % len(kinds)]},{time}" for place, (row, time) in enumerate(earlier)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,event_type,timestamp", *events]) + "\n")
    (folder / "users.txt").write_text("u1\nu2\n")
    (folder / "cookies.txt").write_text("authservice_session=abc\n")
    random_model(n_users=50).save(folder / "output" / "run" / "model", {}, {})


def _build(folder: Path) -> None:
    """The files that ``make pipeline REGISTRY=... TAG=...`` writes."""
    for path in [*folder.glob("*.yaml"), *folder.glob("components/**/*.yaml")]:
        target = folder / "build" / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace("111122223333", _ACCOUNT))
