"""`docker run ncf-train train` under SageMaker's contract, and jobs of the stand-in with several hosts."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.local.aws import LocalAws
from components.local.aws.containers import Containers
from components.local.aws.engine import Engine
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelFolder
from ncf.storage import sha256

ROLE = "arn:aws:iam::123456789012:role/test"
SETTINGS = {
    "model": "neumf",
    "factors": "16",
    "tower": "[32, 16]",
    "epochs": "4",
    "patience": "0",
    "batch_size": "2048",
    "seed": "7",
    "device": "cpu",
}


@pytest.fixture
def ml(tmp_path: Path, data: Any) -> Callable[..., Path]:
    """Lays out an ``/opt/ml``."""

    def make(hyperparameters: dict[str, str], interface: str = "eth0") -> Path:
        root = tmp_path / "ml"
        config = root / "input" / "config"
        config.mkdir(parents=True)
        resources = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": interface}
        for name, content in (("hyperparameters", hyperparameters), ("resourceconfig", resources)):
            (config / f"{name}.json").write_text(json.dumps(content))
        for channel in ("dataset", "samples"):
            shutil.copytree(getattr(data, channel), root / "input" / "data" / channel)
        for part in ("model", "output/data", "checkpoints"):
            (root / part).mkdir(parents=True)
        for path in (root, *root.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)
        return root

    return make


def start(client: Any, image: str, root: Path, **options: Any) -> Any:
    return client.containers.run(
        image, ["train"], detach=True, network_mode="none", volumes={str(root): {"bind": "/opt/ml"}}, **options
    )


@pytest.mark.parametrize("user", ["0:0", "4321:4321"])
def test_trains_as_root_and_as_anybody(client: Any, image: Any, ml: Any, user: str) -> None:
    # the SDK's local mode names an interface that Docker does not have
    root = ml({**SETTINGS, "epochs": "1", "processes_per_host": "2"}, interface="ethwe")
    container = start(client, image("train"), root, user=user)
    try:
        status = container.wait()["StatusCode"]
        output = container.logs().decode()
    finally:
        container.remove(force=True)
    assert status == 0, output
    assert ModelFolder.load(root / "model").golden.requests
    assert not (root / "output" / "failure").exists()


def test_the_reason_of_a_failure_is_in_its_file(client: Any, image: Any, ml: Any) -> None:
    root = ml({**SETTINGS, "factors": "none"})
    container = start(client, image("train"), root)
    try:
        assert container.wait()["StatusCode"] == 2
    finally:
        container.remove(force=True)
    assert "'factors' is 'none'" in (root / "output" / "failure").read_text()
    assert not list((root / "model").iterdir())


def test_a_stopped_container_leaves_a_checkpoint_and_goes_on_from_it(client: Any, image: Any, ml: Any) -> None:
    root = ml({**SETTINGS, "epochs": "200", "processes_per_host": "2"})
    container = start(client, image("train"), root)
    try:
        deadline = time.monotonic() + 60
        while not list((root / "checkpoints").iterdir()):
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.1)
        begin = time.monotonic()
        container.stop(timeout=120)
        assert time.monotonic() - begin < 30
        assert container.wait()["StatusCode"] == 143
        assert "a checkpoint is written" in container.logs().decode()
    finally:
        container.remove(force=True)
    settings = json.loads((root / "input/config/hyperparameters.json").read_text())
    container = start(client, image("train"), root)
    try:
        deadline = time.monotonic() + 60
        while "resuming in epoch" not in container.logs().decode():
            assert time.monotonic() < deadline, (settings, container.logs().decode())
            time.sleep(0.1)
    finally:
        container.remove(force=True)


@pytest.fixture
def aws(engine: Engine, tmp_path: Path, data: Any) -> Iterator[LocalAws]:
    instances = Containers(engine, engine.gateway(engine.open_network("pods")))
    with LocalAws(tmp_path / "aws", instances, grace=20) as local:
        local.create_bucket("bucket")
        s3 = service(local, "s3")
        for channel in ("dataset", "samples"):
            for path in getattr(data, channel).iterdir():
                s3.upload_file(str(path), "bucket", f"{channel}/{path.name}")
        yield local


def service(aws: LocalAws, name: str) -> Any:
    return boto3.client(
        name,
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
    )


def train(aws: LocalAws, image: str, name: str, hosts: int, settings: dict[str, str], **more: Any) -> dict[str, Any]:
    """A training job from its creation to its end."""
    sagemaker = service(aws, "sagemaker")
    sagemaker.create_training_job(
        **{
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "HyperParameters": settings,
            "InputDataConfig": [
                {
                    "ChannelName": channel,
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{channel}/"}},
                }
                for channel in ("dataset", "samples")
            ],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"},
            "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": hosts, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "EnableNetworkIsolation": True,
            **more,
        }
    )
    while (answer := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] == "InProgress":
        time.sleep(0.2)
    found: dict[str, Any] = answer
    return found


def epochs(aws: LocalAws, job: str) -> list[dict[str, Any]]:
    history = json.loads((aws.root / "jobs" / job / "algo-1" / "model" / "history.json").read_text())
    found: list[dict[str, Any]] = history["selection"]
    return found


def test_two_hosts_of_two_processes_train_as_one_process(aws: LocalAws, image: Any, data: Any) -> None:
    """Four ranks and one have the same global batch, so the same model but for the order of the samples."""
    for name, hosts, processes in (("one", 1, "1"), ("four", 2, "2")):
        settings = {**SETTINGS, "processes_per_host": processes}
        answer = train(aws, image("train"), name, hosts, settings)
        assert answer["TrainingJobStatus"] == "Completed", answer.get("FailureReason")
    one, four = epochs(aws, "one"), epochs(aws, "four")
    assert len(one) == len(four) == 4
    for alone, together in zip(one, four, strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=0.03)
    last = [record["hr_at_10"] for record in (one[-1], four[-1])]
    assert last[1] == pytest.approx(last[0], abs=0.05)
    jobs = aws.root / "jobs" / "four"
    assert ModelFolder.load(jobs / "algo-1" / "model").config.factors == 16
    assert not list((jobs / "algo-2" / "model").iterdir()), "the first rank writes for all"
    shares = _shares(aws, "four")
    assert [rank for rank, *_ in shares] == [0, 1, 2, 3]
    assert [first for _, first, *_ in shares] == [0, *(last + 1 for _, _, last, *_ in shares[:-1])]
    assert shares[-1][2] == 399
    assert sum(train for *_, train, _ in shares) == len(Dataset.load(data.dataset).train.items)
    assert sum(validation for *_, validation in shares) == 400, "nobody is evaluated twice"


def _shares(aws: LocalAws, job: str) -> list[tuple[int, ...]]:
    """Of each rank, from the log: rank, first and last user, training and validation positives."""
    logs = service(aws, "logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    lines = [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    ]
    pattern = r"rank (\d+) of 4: users (\d+) to (\d+), (\d+) training and (\d+) validation positives"
    return sorted(tuple(map(int, match.groups())) for line in lines if (match := re.search(pattern, line)))


@pytest.mark.parametrize("isolated", [True, False])
def test_isolation_is_a_network_that_leads_nowhere(client: Any, engine: Engine, isolated: bool) -> None:
    """Hosts of an isolated job reach each other there: the job above is such."""
    network = Containers(engine, "127.0.0.1").open_network("job", isolated)
    assert client.networks.get(network).attrs["Internal"] is isolated


def test_a_job_that_runs_out_of_memory_fails_and_says_so(
    aws: LocalAws, image: Any, engine: Engine, monkeypatch: Any
) -> None:
    begin = engine.start
    monkeypatch.setattr(
        engine, "start", lambda *args, **options: begin(*args, **options, mem_limit="90m", memswap_limit="90m")
    )
    answer = train(aws, image("train"), "small", 1, SETTINGS)
    assert answer["TrainingJobStatus"] == "Failed"
    assert "ran out of memory" in answer["FailureReason"]


def test_a_wrong_tag_fails_the_job(aws: LocalAws) -> None:
    answer = train(aws, "ncf-train:none", "wrong", 1, SETTINGS)
    assert answer["TrainingJobStatus"] == "Failed"
    assert answer["FailureReason"].startswith(
        "ClientError: there is no image 'ncf-train:none' on this machine; there are"
    )


def test_what_a_container_leaves_is_ours_to_remove(aws: LocalAws, image: Any) -> None:
    answer = train(aws, image("train"), "again", 1, {**SETTINGS, "epochs": "1"})
    assert answer["TrainingJobStatus"] == "Completed"
    shutil.rmtree(aws.root / "jobs" / "again")


def test_an_interrupted_job_of_two_hosts_goes_on_in_new_containers(aws: LocalAws, image: Any) -> None:
    """Two hosts lose their containers in the middle of an epoch; the final weights are those of an undisturbed job."""
    more = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900},
    }
    settings = {**SETTINGS, "epochs": "6"}
    digests = []
    for name in ("undisturbed", "interrupted"):
        if name == "interrupted":
            aws.faults.add("interrupt", name, after_line="fit=selection epoch=2", after=0.1)
        checkpoints = {"S3Uri": f"s3://bucket/checkpoints/{name}", "LocalPath": "/opt/ml/checkpoints"}
        answer = train(aws, image("train"), name, 2, settings, **more, CheckpointConfig=checkpoints)
        assert answer["TrainingJobStatus"] == "Completed", answer.get("FailureReason")
        states = [entry["Status"] for entry in answer["SecondaryStatusTransitions"]]
        assert states.count("Interrupted") == (name == "interrupted")
        digests.append(sha256(aws.root / "jobs" / name / "algo-1" / "model" / "weights.safetensors"))
    assert digests[0] == digests[1]
