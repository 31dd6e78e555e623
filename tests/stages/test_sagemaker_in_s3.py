"""Stages for any image on a cluster whose pipeline root is in S3: jobs read and write the artifacts themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from foreign_account import BUCKET, IMAGE, METRIC, ROLE, foreign_account, names_of
from local_account import executor_input

from ncf.errors import RemoteError
from ncf.stage import execution
from ncf.stage.declaration import Stage
from ncf.stages.sagemaker_process import SagemakerProcess
from ncf.stages.sagemaker_train import SagemakerTrain
from ncf.stages.sagemaker_transform import SagemakerTransform
from ncf.stages.sagemaker_tune import SagemakerTune
from ncf.storage import download

ROOT = f"s3://{BUCKET}/root/line/run-9"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        yield local


def pod(stage: type[Stage], folder: Path, inputs: dict[str, str], root: str = ROOT, **given: Any) -> dict[str, Any]:
    """Run a stage as a pod, with local copies of its input artifacts, as KFP's launcher makes them.

    Returns:
        URI of each output artifact, and text of each output parameter.
    """
    uris = {**inputs, **{name: f"{root}/{stage.name}/1/{name}" for name in stage.outputs()}}
    values = {"role": ROLE, "run_id": "run-9", **given}
    flags = [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]
    for name, uri in inputs.items():
        download(uri, folder / "in" / name)
        flags.append(f"--{name}={folder / 'in' / name}")
    flags += [f"--{name}={folder / 'out' / name}" for name in stage.outputs()]
    execution.run(stage, executor_input(stage, flags, folder, uris))
    written = json.loads((folder / "executor_output.json").read_text())["artifacts"]
    artifacts = {name: entry["artifacts"][0]["uri"] for name, entry in written.items()}
    files = {
        name: (folder / "out" / name).read_text() for name, role in stage.outputs().items() if name not in artifacts
    }
    return artifacts | files


@pytest.mark.slow
def test_jobs_read_and_write_the_artifacts_and_nothing_is_copied(account: Any, tmp_path: Path) -> None:
    prepared = pod(
        SagemakerProcess,
        tmp_path / "process",
        {"data": f"s3://{BUCKET}/raw"},
        process_image=IMAGE,
        container_entrypoint=["prepare"],
        container_arguments=["0.7"],
    )
    assert prepared["train"] == f"{ROOT}/sagemaker_process/1/train"
    channels = {name: prepared[name] for name in ("train", "validation")}
    program = {"train_image": IMAGE, "metric_definitions": METRIC}
    tuned = pod(
        SagemakerTune,
        tmp_path / "tune",
        channels,
        hyperparameters={"epochs": 1.0},
        ranges={"rate": [0.1, 0.3]},
        metric_name="loss",
        metric_type="Minimize",
        max_num_jobs=2.0,
        **program,
    )
    assert tuned["best_model"].startswith(f"{ROOT}/sagemaker_tune/1/best_model/{tuned['job_name']}-00")
    best = json.loads(tuned["best_hyperparameters"])
    trained = pod(SagemakerTrain, tmp_path / "train", channels, hyperparameters=best, compress_model=True, **program)
    assert trained["trained_model"] == trained["model_uri"]
    assert trained["model_uri"] == f"{ROOT}/sagemaker_train/1/trained_model/{trained['job_name']}/output/model.tar.gz"
    request = boto3.client("sagemaker").describe_training_job(TrainingJobName=trained["job_name"])
    sources = {
        entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in request["InputDataConfig"]
    }
    assert sources == {name: f"{uri}/" for name, uri in channels.items()}
    transformed = pod(
        SagemakerTransform,
        tmp_path / "transform",
        {"model": trained["trained_model"], "data": prepared["validation"]},
        deploy_image=IMAGE,
        split_type="Line",
    )
    assert transformed["transformed"] == transformed["output_location"] == f"{ROOT}/sagemaker_transform/1/transformed"
    answers = download(f"{transformed['transformed']}/a-algo-1.csv.out", tmp_path / "answers")
    assert len(answers.read_text().split()) == 3
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="jobs/")
    assert "Contents" not in listed, "there are no copies"


def test_a_retry_with_other_output_paths_takes_what_the_first_try_has_written(account: Any, tmp_path: Path) -> None:
    given = {"process_image": IMAGE, "container_entrypoint": ["prepare"], "container_arguments": ["0.5"]}
    source = {"input_config": {"data": f"s3://{BUCKET}/raw/"}}
    first = pod(SagemakerProcess, tmp_path / "1", {}, ROOT, **given, **source)
    before = names_of("processing_jobs")
    second = pod(SagemakerProcess, tmp_path / "2", {}, f"{ROOT}/again", **given, **source)
    assert names_of("processing_jobs") == before
    assert second["train"] == first["train"]
    with pytest.raises(RemoteError, match=r"writes to s3://other/root/.*under s3://other/else/run-9 only"):
        pod(SagemakerProcess, tmp_path / "3", {}, f"s3://{BUCKET}/else/run-9", **given, **source)
