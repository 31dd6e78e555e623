"""The pipeline for any image in the README, with an image of another project, through one fault in each step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_account import BUCKET, IMAGE, PREFIX, ROLE, foreign_account, names_of
from readmes import ROOT, blocks

from components.local.process_runner import TaskRun, pods_as_processes

KINDS = ("processing_jobs", "hyper_parameter_tuning_jobs", "training_jobs", "transform_jobs")


class Recorder:
    """Keeps every try of every task, and kills the pod of one at a line of its log.

    Attributes:
        tries: in order.
        kill: task and part of the line; None for never.
    """

    def __init__(self, folder: Path) -> None:
        self.tries: list[TaskRun] = []
        self.kill: tuple[str, str] | None = None
        self._folder = folder

    def started(self, task: TaskRun) -> None:
        self.tries.append(task)

    def line(self, task: TaskRun, text: str) -> None:
        if self.kill and task.name == self.kill[0] and self.kill[1] in text:
            self.kill = None
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                if f"ncf\0{task.name}\0".encode() in _read(path) and str(self._folder).encode() in _read(path):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def finished(self, task: TaskRun) -> None:
        """Kept at its start."""

    def outputs(self, name: str) -> dict[str, Any]:
        """Outputs of the last try of a task."""
        return [task.outputs for task in self.tries if task.name == name][-1]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def line_pipeline() -> Any:
    """The pipeline of the README, whose run has an ID on this machine, too."""
    (block,) = [found for found in blocks("components/README.md") if "def line_pipeline" in found.content]
    code = block.content.replace('f"build/', f'f"{ROOT}/').replace('"role": role,', '"role": role, "run_id": "run-1",')
    scope: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec", dont_inherit=True), scope)
    return scope["line_pipeline"]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Any]:
    with foreign_account(tmp_path) as local:
        yield local


@pytest.mark.slow
def test_process_tune_train_transform_through_a_fault_each(account: Any, tmp_path: Path) -> None:
    faults = account.faults
    faults.add("refuse", "CreateProcessingJob", error="ThrottlingException", times=2)
    faults.add("fail", "-001-", state="Training", reason="AlgorithmError: of the first trial")
    faults.add("late", "CreateTransformJob", times=2)
    recorder = Recorder(tmp_path)
    recorder.kill = ("sagemaker-train", "epoch=1")  # the launcher is gone, the job goes on
    with pods_as_processes(tmp_path / "artifacts", account.environment, recorder):
        line_pipeline()(
            image=IMAGE,
            role=ROLE,
            raw={"data": {"uri": f"s3://{BUCKET}/raw/", "distribution": "ShardedByS3Key"}},
            s3_prefix=PREFIX,
        )
    assert faults.coming() == [], "each fault has happened"
    assert recorder.kill is None, "the launcher of train was killed"
    names = [task.name for task in recorder.tries]
    assert names == [
        "sagemaker-process",
        "sagemaker-tune",
        "sagemaker-train",
        "sagemaker-train",
        "sagemaker-transform",
    ]
    bought = {kind: len(names_of(kind)) for kind in KINDS}
    assert bought == {
        "processing_jobs": 1,
        "hyper_parameter_tuning_jobs": 1,
        "training_jobs": 4 + 1,
        "transform_jobs": 1,
    }, "nothing was bought twice"
    tuned = recorder.outputs("sagemaker-tune")
    assert tuned["metrics"]["metadata"]["completed"] == 3, "one trial has failed"
    best = json.loads(tuned["best_hyperparameters"])
    assert recorder.outputs("sagemaker-train")["metrics"]["metadata"]["loss"] == pytest.approx(
        tuned["metrics"]["metadata"]["loss"], rel=1e-3
    ), f"the same hyperparameters, {best}, give the same model"
    answers = Path(recorder.outputs("sagemaker-transform")["transformed"]["uri"])
    assert sorted(path.name for path in answers.iterdir()) == ["a-algo-1.csv.out", "b-algo-2.csv.out"]
    assert all(len(path.read_text().split()) == 3 for path in answers.iterdir())
