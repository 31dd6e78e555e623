"""Training jobs of any image, in the stand-in."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from foreign_account import BUCKET, IMAGE, PREFIX, foreign_account, names_of, run, train_parameters

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs import job
from ncf.stages.sagemaker_train import SagemakerTrain


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        yield local


@pytest.fixture(autouse=True)
def no_faults(account: Any) -> None:
    account.faults.clear()


def described(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
    return answer


def test_a_job_of_any_image_with_artifacts_and_uris_as_channels(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("0.5,2\n0.1,1.2\n")
    given = train_parameters(
        channels={"validation": {"uri": f"s3://{BUCKET}/validation/", "content_type": "text/csv"}},
        hyperparameters={"rate": 0.3, "epochs": 2.0, "layers": [8.0, 4.0], "fail": False},
        environment={"SAGEMAKER_NOTE": "x"},
        tags={"team": "other"},
    )
    outputs = run(SagemakerTrain, tmp_path, "artifacts", train=tmp_path / "rows.csv", **given)
    name = (outputs / "job_name").read_text()
    request = described(name)
    assert request["HyperParameters"] == {"rate": "0.3", "epochs": "2", "layers": "[8, 4]", "fail": "false"}
    uris = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in request["InputDataConfig"]}
    assert uris == {"train": f"{PREFIX}/{name}/train", "validation": f"s3://{BUCKET}/validation/"}, (
        "a file has no slash"
    )
    assert request["Environment"] == {"SAGEMAKER_NOTE": "x"}
    metrics = json.loads((outputs / "metrics").read_text())
    assert metrics["loss"] > 0
    assert metrics["training_seconds"] >= 1
    assert set(json.loads((outputs / "trained_model/line.json").read_text())) == {"slope", "offset"}
    assert (outputs / "model_uri").read_text() == f"{PREFIX}/{name}/trained_model/{name}/output/model"
    summary = (outputs / "summary").read_text()
    assert f"# {name}" in summary
    assert "| loss |" in summary


def test_a_retry_attaches_and_buys_nothing(tmp_path: Path) -> None:
    before = len(names_of("training_jobs"))
    for attempt in ("first", "second"):
        run(SagemakerTrain, tmp_path / attempt, "retried", **train_parameters())
    run(SagemakerTrain, tmp_path / "third", "retried", **train_parameters(hyperparameters={"rate": 0.2, "epochs": 1}))
    assert len(names_of("training_jobs")) == before + 2, "other hyperparameters are another job"


def test_a_compressed_model(tmp_path: Path) -> None:
    outputs = run(SagemakerTrain, tmp_path, "compressed", **train_parameters(compress_model=True))
    assert (outputs / "model_uri").read_text().endswith("/output/model.tar.gz")
    with tarfile.open(outputs / "trained_model/model.tar.gz") as archive:
        assert archive.getnames() == ["line.json"]


def test_a_command_in_place_of_the_image_s_own(tmp_path: Path) -> None:
    given = train_parameters(container_entrypoint=["train"])
    outputs = run(SagemakerTrain, tmp_path, "command", **given)
    request = described((outputs / "job_name").read_text())
    assert request["AlgorithmSpecification"]["ContainerEntrypoint"] == ["train"]


def test_sagemaker_s_reason_and_the_last_lines(tmp_path: Path) -> None:
    given = train_parameters(hyperparameters={"rate": 0.3, "epochs": 3, "fail": True})
    with pytest.raises(RemoteError, match="AlgorithmError: the rate is no good; correct the cause first"):
        run(SagemakerTrain, tmp_path, "failed", **given)
    assert "the rate is no good" in (tmp_path / "sagemaker_train/summary").read_text()


def test_a_capacity_error_is_followed_by_another_job(account: Any, tmp_path: Path) -> None:
    account.faults.add("fail", "ncf-train", state="Starting", reason="CapacityError: no instances")
    outputs = run(SagemakerTrain, tmp_path, "capacity", **train_parameters())
    assert (outputs / "job_name").read_text().endswith("-2")


def test_sigterm_stops_the_job_and_a_retry_starts_another(account: Any, tmp_path: Path) -> None:
    slow = train_parameters(hyperparameters={"rate": 0.3, "epochs": 3, "pause": "0.3"})
    terminated = patch.object(job.Aws, "call", autospec=True, side_effect=_terminate_after_creation(job.Aws.call))
    with terminated, pytest.raises(SystemExit):
        run(SagemakerTrain, tmp_path, "stopped", **slow)
    stopped = names_of("training_jobs")[-1]
    assert described(stopped)["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert (run(SagemakerTrain, tmp_path, "stopped", **slow) / "job_name").read_text() == f"{stopped}-2"


def _terminate_after_creation(call: Any) -> Any:
    """Calls AWS, and exits as on SIGTERM at the first description after a job was created."""
    seen: list[str] = []

    def called(self: Any, service: str, operation: str, patience: float | None = None, **request: Any) -> Any:
        if operation == "describe_training_job" and "create_training_job" in seen and "exit" not in seen:
            seen.append("exit")
            raise SystemExit(143)
        seen.append(operation)
        return call(self, service, operation, patience, **request)

    return called


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": {"train": "/data"}}, "'train' is '/data'; expected an S3 URI, or an object with the fields uri"),
        ({"channels": {"train": {"uri": "s3://b/x", "folder": "y"}}}, "expected an S3 URI, or an object"),
        ({"metric_definitions": {"loss": "loss=[0-9]+"}}, "'loss' is 'loss=.0-9.+', without a group"),
        ({"metric_definitions": {"loss": "("}}, "'loss' is no regular expression"),
        ({"hyperparameters": {"h": "x" * 2501}}, "parameter 'hyperparameters' is .*: AWS accepts at most 2500"),
        ({"hyperparameters": {f"h{n}": n for n in range(101)}}, "'hyperparameters' is .*at most 100 entries"),
        ({"instance_type": "ml.none.large"}, "parameter 'instance_type' is 'ml.none.large': AWS accepts one of"),
        ({"channels": {"a b": f"s3://{BUCKET}/x"}}, "parameter 'channels' is 'a b': AWS accepts what matches"),
        ({"spot_instance": True}, "'max_wait_time' is 0: with 'spot_instance'"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_any_call(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    before = names_of("training_jobs")
    with pytest.raises(InputError, match=said):
        run(SagemakerTrain, tmp_path, "refused", **train_parameters(**changes))
    assert names_of("training_jobs") == before


def test_a_channel_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="input 'train' is given twice: as an artifact, and as s3://"):
        run(SagemakerTrain, tmp_path, "twice", train=f"s3://{BUCKET}/train/", **train_parameters())


def test_a_missing_image_is_sagemaker_s_to_name(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="ClientError: The image 'registry.example/other:1' does not exist"):
        run(SagemakerTrain, tmp_path, "no-image", **train_parameters(train_image=IMAGE.replace("line", "other")))
