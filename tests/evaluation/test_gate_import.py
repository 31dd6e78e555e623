"""The gate is imported by the launcher image, which has neither scipy nor torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_launcher_reads_the_gate_without_scipy() -> None:
    code = "import ncf.sagemaker.runs.evidence, sys; print(*{'scipy', 'torch'} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""
