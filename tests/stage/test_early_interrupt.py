"""Ctrl-C while a program imports its packages: one line and 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

SLOW_IMPORT = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"


@pytest.mark.parametrize(
    ("package", "program"), [("kfp", ["pipeline.py", "run"]), ("pydantic", ["-m", "ncf", "serve", "--model=x"])]
)
def test_ctrl_c_during_imports_is_one_line(package: str, program: list[str], tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text(SLOW_IMPORT)
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=Path(pipeline.__file__).parent,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "ncf: error: interrupted\n")
