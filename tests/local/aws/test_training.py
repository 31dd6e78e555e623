"""Training jobs really run, and answers have the shapes of AWS's own service model."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import client, finish, log_lines, log_lines_or_none, processes, request, wait

from components.local.aws import LocalAws
from components.local.aws.processes import wait_until
from components.local.aws.services import NO_ACCOUNT, Services


def test_a_job_runs_and_its_model_lies_in_s3(aws: LocalAws, sagemaker: Any) -> None:
    made = sagemaker.create_training_job(**request("good", Tags=[{"Key": "k", "Value": "v"}]))
    answer = finish(sagemaker, "good")
    assert answer["TrainingJobStatus"] == "Completed"
    assert [entry["Status"] for entry in answer["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    uri = answer["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == "s3://bucket/out/good/output/model"
    body = client(aws, "s3").get_object(Bucket="bucket", Key="out/good/output/model/algo-1.json")["Body"].read()
    assert json.loads(body) == {
        "channel": ["a", "b"],
        "mode": "train",
        "all": {"mode": "train", "epochs": "3"},
    }
    assert log_lines(aws, "/aws/sagemaker/TrainingJobs", "good/") == ["training on algo-1 of 1"]
    assert sagemaker.list_tags(ResourceArn=made["TrainingJobArn"])["Tags"] == [{"Key": "k", "Value": "v"}]
    assert answer["BillableTimeInSeconds"] >= 1


def test_a_compressed_model_and_two_hosts(aws: LocalAws, sagemaker: Any) -> None:
    changes = {"OutputDataConfig": {"S3OutputPath": "s3://bucket/out"}}
    sharded = request("pair", hosts=2, **changes)
    sharded["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    sagemaker.create_training_job(**sharded)
    assert finish(sagemaker, "pair")["ModelArtifacts"]["S3ModelArtifacts"].endswith("/pair/output/model.tar.gz")
    body = client(aws, "s3").get_object(Bucket="bucket", Key="out/pair/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        models = {name: json.load(tar.extractfile(name)) for name in tar.getnames()}  # type: ignore[arg-type]
    assert {name: model["channel"] for name, model in models.items()} == {
        "algo-1.json": ["a"],
        "algo-2.json": ["b"],
    }


@pytest.mark.parametrize(
    ("mode", "hosts", "reason"),
    [
        ("fail", 1, "AlgorithmError: the loss is no longer a number"),
        ("fail on one", 2, "AlgorithmError: the cause"),
    ],
)
def test_a_failing_program_fails_the_job_with_its_reason(sagemaker: Any, mode: str, hosts: int, reason: str) -> None:
    name = mode.replace(" ", "-")
    start = time.monotonic()
    sagemaker.create_training_job(**request(name, mode, hosts))
    answer = finish(sagemaker, name)
    assert answer["TrainingJobStatus"] == "Failed"
    assert answer["FailureReason"].startswith(reason)
    assert time.monotonic() - start < 10, "the other host is stopped"


def test_stopping_a_job_keeps_its_checkpoints(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("stopped", "wait", CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"}))
    wait(lambda: {"n": str(len(log_lines_or_none(aws, "stopped/")))}, "n", ("0", "1"))
    sagemaker.stop_training_job(TrainingJobName="stopped")
    answer = finish(sagemaker, "stopped")
    assert (answer["TrainingJobStatus"], answer["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert client(aws, "s3").get_object(Bucket="bucket", Key="checkpoints/state")["Body"].read() == b"kept"
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="stopped")


def test_a_deleted_checkpoint_is_deleted_in_s3(aws: LocalAws, sagemaker: Any) -> None:
    s3 = client(aws, "s3")
    for key in ("mirrored/job/old", "mirrored/job-2/of-another"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"1")
    checkpoints = {"S3Uri": "s3://bucket/mirrored/job"}
    sagemaker.create_training_job(**request("mirrored", "keep the last checkpoint", CheckpointConfig=checkpoints))
    assert finish(sagemaker, "mirrored")["TrainingJobStatus"] == "Completed"
    left = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix="mirrored/")["Contents"]]
    assert left == ["mirrored/job-2/of-another", "mirrored/job/new"]


def test_a_job_that_takes_too_long_is_stopped(sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("slow", "wait", StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert finish(sagemaker, "slow")["SecondaryStatus"] == "MaxRuntimeExceeded"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RoleArn": "somebody-whom-nobody-knows"}, "at 'RoleArn' failed to satisfy constraint"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
        ({"HyperParameters": {f"h{i}": "1" for i in range(101)}}, "at most 100"),
        ({"HyperParameters": {"h": "x" * 2501}}, "at most 2500"),
        ({"Tags": [{"Key": "x" * 129, "Value": ""}]}, "at 'Tags.Key' failed to satisfy constraint"),
        ({"VpcConfig": {"Subnets": ["a b"], "SecurityGroupIds": ["sg-1"]}}, "at 'VpcConfig.Subnets'"),
        ({"ResourceConfig": {"InstanceType": "ml.x.y", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "InstanceType"),
    ],
)
def test_requests_that_sagemaker_refuses(sagemaker: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        sagemaker.create_training_job(**request("refused", **changes))


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (
            "no-image",
            {"AlgorithmSpecification": {"TrainingImage": "x/other:1", "TrainingInputMode": "File"}},
            "ClientError: .*x/other:1.*ncf-deploy, ncf-train",
        ),
        (
            "no-bucket",
            {"OutputDataConfig": {"S3OutputPath": "s3://nowhere/out", "CompressionType": "NONE"}},
            "ClientError: .*s3://nowhere/out.*NoSuchBucket",
        ),
    ],
)
def test_what_does_not_exist_fails_the_job(sagemaker: Any, name: str, changes: dict[str, Any], reason: str) -> None:
    sagemaker.create_training_job(**request(name, **changes))
    answer = finish(sagemaker, name)
    assert answer["TrainingJobStatus"] == "Failed"
    assert re.match(reason, answer["FailureReason"]), answer["FailureReason"]


def test_names_are_unique(sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("twin"))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already exists"):
        sagemaker.create_training_job(**request("twin"))
    finish(sagemaker, "twin")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="nobody")


def test_a_name_is_free_in_a_new_stand_in_on_the_same_folder(aws: LocalAws, sagemaker: Any) -> None:
    (aws.root / "jobs" / "anew" / "algo-1" / "input" / "config").mkdir(parents=True)
    sagemaker.create_training_job(**request("anew"))
    assert finish(sagemaker, "anew")["TrainingJobStatus"] == "Completed"


def test_a_program_has_the_keys_of_the_stand_in_or_none(
    aws: LocalAws, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the real account")
    monkeypatch.setenv("NCF_KFP_TOKEN", "of the real cluster")
    for name, isolated in (("open", False), ("isolated", True)):
        changes: dict[str, Any] = {"EnableNetworkIsolation": isolated, "Environment": {"NCF_ASKED": "for"}}
        sagemaker.create_training_job(**request(name, **changes))
        finish(sagemaker, name)
        key = f"out/{name}/output/output/environment.json"
        seen = json.loads(client(aws, "s3").get_object(Bucket="bucket", Key=key)["Body"].read())
        assert seen["NCF_ASKED"] == "for"
        assert "NCF_KFP_TOKEN" not in seen
        given = NO_ACCOUNT if isolated else aws.environment
        expected = {key: value for key, value in given.items() if key.startswith("AWS_")}
        assert {key: value for key, value in seen.items() if key.startswith("AWS_")} == expected


def test_children_end_with_their_program(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("parent", "leave a child"))
    assert finish(sagemaker, "parent")["TrainingJobStatus"] == "Completed"
    assert wait_until(lambda: not processes(str(aws.root / "jobs" / "parent")), 2)


def test_a_checkpoint_is_uploaded_once_and_temporary_files_may_vanish(
    aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(aws.endpoint_url, aws.environment, aws.region)
    sent: list[str] = []
    send = services.s3.upload_file

    def upload_file(path: str, bucket: str, key: str) -> None:
        sent.append(key)
        (tmp_path / "b.tmp").unlink(missing_ok=True)
        send(path, bucket, key)

    monkeypatch.setattr(services.s3, "upload_file", upload_file)
    for name in ("a", "b.tmp", "c"):
        (tmp_path / name).write_text(name)
    uploaded: dict[Path, tuple[int, int]] = {}
    services.upload(tmp_path, "s3://bucket/once", uploaded)
    assert sent == ["once/a", "once/c"]
    (tmp_path / "c").write_text("another")
    services.upload(tmp_path, "s3://bucket/once", uploaded)
    assert sent == ["once/a", "once/c", "once/c"]


def test_missing_data_fails_the_job(sagemaker: Any) -> None:
    asked = request("no-data")
    asked["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://bucket/nothing"
    sagemaker.create_training_job(**asked)
    assert "No S3 objects found" in finish(sagemaker, "no-data")["FailureReason"]
