"""Jobs of other kinds than training whose launcher is gone: finish and stop-jobs stop them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from foreign_account import BUCKET, IMAGE, foreign_account, names_of, run, train_parameters

from ncf.errors import RemoteError
from ncf.operators.stop_jobs import StopJobs
from ncf.sagemaker.jobs import job
from ncf.stage import execution
from ncf.stages.finish import Finish
from ncf.stages.sagemaker_process import SagemakerProcess
from ncf.stages.sagemaker_transform import SagemakerTransform
from ncf.stages.sagemaker_tune import SagemakerTune

PROCESS: dict[str, Any] = {
    "process_image": IMAGE,
    "container_entrypoint": ["prepare"],
    "container_arguments": ["0.7"],
    "input_config": {"data": f"s3://{BUCKET}/raw/"},
}
TRANSFORM: dict[str, Any] = {
    "deploy_image": IMAGE,
    "model_uri": f"s3://{BUCKET}/model/",
    "input_location": f"s3://{BUCKET}/raw/",
}
TUNE = train_parameters(
    hyperparameters={"epochs": 1}, ranges={"rate": [0.1, 0.5]}, metric_name="loss", metric_type="Minimize"
)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        boto3.client("s3").put_object(Bucket=BUCKET, Key="model/line.json", Body=b'{"slope": 2, "offset": 1}')
        yield local


def leave(account: Any, folder: Path, stage: Any, run_id: str, given: dict[str, Any]) -> None:
    """A job that waits for its instances, and whose launcher is gone."""
    account.faults.add("hold", "ncf-train", state="InProgress", seconds=60)
    with patch.object(job._Job, "follow", side_effect=RemoteError("gone")), pytest.raises(RemoteError, match="gone"):
        run(stage, folder, run_id, **given)


@pytest.mark.parametrize(
    ("stage", "given", "kind", "words"),
    [
        (SagemakerProcess, PROCESS, "processing_jobs", "processing job"),
        (SagemakerTransform, TRANSFORM, "transform_jobs", "transform job"),
        (SagemakerTune, TUNE, "hyper_parameter_tuning_jobs", "tuning job"),
    ],
)
def test_finish_stops_them_and_a_retry_starts_another(
    stage: Any, given: dict[str, Any], kind: str, words: str, account: Any, tmp_path: Path
) -> None:
    leave(account, tmp_path, stage, f"left-{kind}", given)
    execution.run(Finish, ["--run-id", f"left-{kind}", "--summary", str(tmp_path / "finish")])
    name = names_of(kind)[-1]
    assert f"{words} {name}: InProgress, abandoned, stopped" in (tmp_path / "finish").read_text().replace("\\", "")
    assert (run(stage, tmp_path, f"left-{kind}", **given) / "job_name").read_text() == f"{name}-2"


def test_stop_jobs_stops_what_has_lost_its_launcher(
    account: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(account, tmp_path, SagemakerProcess, "swept", PROCESS)
    name = names_of("processing_jobs")[-1]
    client = boto3.client("sagemaker")
    arn = client.describe_processing_job(ProcessingJobName=name)["ProcessingJobArn"]
    execution.run(StopJobs, ["--older-than", "1h", "--dry-run", "false"])
    assert "0 stopped" in capsys.readouterr().out, "its launcher may still wait for it"
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "ncf:left", "Value": "launcher 2026-01-01T00:00:00+0000"}])
    execution.run(StopJobs, ["--older-than", "1h", "--dry-run", "false"])
    printed = capsys.readouterr().out
    assert f"processing job {name} of run swept: abandoned by its launcher" in printed
    assert "1 stopped" in printed
    assert client.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] in ("Stopping", "Stopped")
