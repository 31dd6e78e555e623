"""A checkpoint is whole or not there, whenever its writer is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ncf.training.checkpoint import Checkpoint, Checkpoints

IDENTITY = {"epochs": 1}
WRITER = """
import sys
from pathlib import Path
import torch
from ncf.training.checkpoint import Checkpoint, Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), {"epochs": 1})
number = checkpoints.latest().progress["number"] if checkpoints.latest() else 0
print("ready", flush=True)
while True:
    number += 1
    tensor = torch.full((500_000,), float(number))
    checkpoints.write(Checkpoint({"number": number}, {"weight": tensor}))
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_its_last_checkpoints_intact(tmp_path: Path) -> None:
    draw = random.Random(1)
    reached = 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(draw.uniform(0.03, 0.3))
        writer.send_signal(signal.SIGKILL)
        reported = [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        found = Checkpoints(tmp_path, IDENTITY).latest()
        if found is None:
            assert not reported
            continue
        number = found.progress["number"]
        last = reported[-1] if reported else reached
        assert last <= number <= last + 1, "a reported checkpoint exists; the next one may exist, complete"
        assert torch.equal(found.tensors["weight"], torch.full((500_000,), float(number)))
        reached = number
    assert reached > 0


def test_what_a_killed_writer_has_left_unfinished_goes(tmp_path: Path) -> None:
    unfinished = tmp_path / ".checkpoint-000003.pt-x"
    unfinished.mkdir()
    (unfinished / "checkpoint-000003.pt").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    assert checkpoints.latest() is None
    checkpoints.write(Checkpoint({"number": 1}, {"weight": torch.ones(1)}))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001.pt"]


@pytest.mark.parametrize("kept", [b"", b"x" * 20])
def test_files_that_are_no_checkpoints_are_passed_over(tmp_path: Path, kept: bytes) -> None:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    checkpoints.write(Checkpoint({"number": 1}, {"weight": torch.ones(1)}))
    (tmp_path / "checkpoint-000002.pt").write_bytes(kept)
    found = checkpoints.latest()
    assert found is not None
    assert found.progress == {"number": 1}
