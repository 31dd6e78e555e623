"""Processing jobs really run, under the contract of SageMaker's containers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, assert_shape, client, log_lines, wait

from components.local.aws import LocalAws, Processes

PROGRAM = """
import json, os, pathlib, sys, time
root = pathlib.Path(os.environ["NCF_ML_ROOT"])
command, *rest = sys.argv[1:]
print("running", command, *rest, flush=True)
out = root / "processing/output/result"
resources, job = (json.loads((root / "config" / f"{n}.json").read_text()) for n in ("resourceconfig", "processingjobconfig"))
files = sorted(p.name for p in (root / "processing/input/data").iterdir())
host = resources["current_host"]
(out / f"{host}.json").write_text(json.dumps({"files": files, "resources": resources, "job": job["ProcessingJobName"],
    "note": os.environ.get("SAGEMAKER_NOTE"), "arguments": rest}))
if command == "wait":
    time.sleep(60)
if command == "fail":
    (root / "output/message").write_text("the rows are no good")
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    folder = tmp_path_factory.mktemp("processing")
    (folder / "program.py").write_text(PROGRAM)
    runtime = {"any": [sys.executable, str(folder / "program.py")]}
    with LocalAws(folder / "aws", Processes({"fixed": ["false"]}, runtime), grace=2) as local:
        local.create_bucket("bucket")
        for key in ("data/a", "data/b", "data/c"):
            client(local, "s3").put_object(Bucket="bucket", Key=key, Body=b"1")
        yield local


@pytest.fixture
def sagemaker(aws: LocalAws) -> Any:
    return client(aws, "sagemaker")


def request(name: str, command: str = "run", hosts: int = 1, **changes: Any) -> dict[str, Any]:
    source = {"S3Uri": "s3://bucket/data/", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/input/data"}
    source |= changes.pop("source", {})
    target = {"S3Uri": f"s3://bucket/{name}", "LocalPath": "/opt/ml/processing/output/result"}
    target |= {"S3UploadMode": "EndOfJob", **changes.pop("target", {})}
    cluster = {"InstanceCount": hosts, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": "r.example/any:1",
            "ContainerEntrypoint": [command],
            "ContainerArguments": ["x", "y z"],
        },
        "ProcessingInputs": [{"InputName": "data", "S3Input": source}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "result", "S3Output": target}]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "Environment": {"SAGEMAKER_NOTE": "n"},
        **changes,
    }


def finish(sagemaker: Any, name: str) -> dict[str, Any]:
    answer = wait(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
        "ProcessingJobStatus",
        ("InProgress", "Stopping"),
    )
    assert_shape(answer, sagemaker.meta.service_model.operation_model("DescribeProcessingJob").output_shape)
    return answer


def outputs(aws: LocalAws, name: str) -> dict[str, Any]:
    s3 = client(aws, "s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix=f"{name}/").get("Contents", [])]
    found = {key: s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}
    return {Path(key).stem: json.loads(content) for key, content in found.items()}


def test_a_program_has_its_inputs_command_and_configuration(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("whole"))
    answer = finish(sagemaker, "whole")
    assert answer["ProcessingJobStatus"] == "Completed"
    assert answer["ProcessingEndTime"] >= answer["ProcessingStartTime"] >= answer["CreationTime"]
    seen = outputs(aws, "whole")["algo-1"]
    assert seen["files"] == ["a", "b", "c"]
    assert seen["arguments"] == ["x", "y z"]
    assert (seen["job"], seen["note"]) == ("whole", "n")
    assert (seen["resources"]["current_host"], seen["resources"]["hosts"]) == ("algo-1", ["algo-1"])
    assert log_lines(aws, "/aws/sagemaker/ProcessingJobs", "whole/") == ["running run x y z"]


def test_hosts_share_sharded_objects_and_merge_their_outputs(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("pair", hosts=2, source={"S3DataDistributionType": "ShardedByS3Key"}))
    assert finish(sagemaker, "pair")["ProcessingJobStatus"] == "Completed"
    assert {host: seen["files"] for host, seen in outputs(aws, "pair").items()} == {
        "algo-1": ["a", "c"],
        "algo-2": ["b"],
    }


def test_continuous_outputs_are_there_before_the_end(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("continuous", "wait", target={"S3UploadMode": "Continuous"}))
    wait(lambda: {"there": bool(outputs(aws, "continuous"))}, "there", (False,))
    assert sagemaker.describe_processing_job(ProcessingJobName="continuous")["ProcessingJobStatus"] == "InProgress"
    sagemaker.stop_processing_job(ProcessingJobName="continuous")
    assert finish(sagemaker, "continuous")["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_processing_job(ProcessingJobName="continuous")


def test_a_failing_program_leaves_its_message_and_no_output(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("failed", "fail"))
    answer = finish(sagemaker, "failed")
    assert answer["ProcessingJobStatus"] == "Failed"
    assert answer["FailureReason"].startswith("AlgorithmError: See job logs")
    assert answer["ExitMessage"] == "the rows are no good"
    assert outputs(aws, "failed") == {}


def test_a_job_that_takes_too_long_is_stopped(sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("slow", "wait", StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert finish(sagemaker, "slow")["ProcessingJobStatus"] == "Stopped"


def test_faults_happen(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("fail", "broken", state="InProgress", after_line="running", reason="InternalServerError: x")
    sagemaker.create_processing_job(**request("broken", "wait"))
    assert finish(sagemaker, "broken")["FailureReason"] == "InternalServerError: x"


def test_an_image_with_one_program_takes_no_command(sagemaker: Any) -> None:
    changed = request("fixed", AppSpecification={"ImageUri": "fixed:1", "ContainerEntrypoint": ["sh", "-c", "true"]})
    sagemaker.create_processing_job(**changed)
    assert "without commands of a request" in finish(sagemaker, "fixed")["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": {"LocalPath": "/data"}}, "must start with /opt/ml/processing/"),
        ({"target": {"LocalPath": "/opt/ml/processing/../x"}}, "must start with /opt/ml/processing/"),
        ({"source": {"S3DataType": "ManifestFile"}}, "supports no inputs but S3Prefix"),
        ({"source": {"S3CompressionType": "Gzip"}}, "Gzip is accepted in mode Pipe only"),
        ({"Environment": {"PATH": "/tmp"}}, "'PATH' is not accepted"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777_601}}, "at most 777600"),
    ],
)
def test_requests_that_are_refused(sagemaker: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        sagemaker.create_processing_job(**request("refused", **changes))


def test_names_are_unique(sagemaker: Any) -> None:
    sagemaker.create_processing_job(**request("twin"))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already exists"):
        sagemaker.create_processing_job(**request("twin"))
    with pytest.raises(ClientError, match="must be unique"):
        twice = request("other")
        sagemaker.create_processing_job(**{**twice, "ProcessingInputs": twice["ProcessingInputs"] * 2})
