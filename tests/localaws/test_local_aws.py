"""The stand-in: jobs and endpoints really run, and answers have the shapes of AWS's own service model."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

from ncf.localaws import LocalAws

ROLE = "arn:aws:iam::123456789012:role/test"
TRAIN = """
import json, os, signal, sys, time
root = os.environ["NCF_ML_ROOT"]
read = lambda name: json.load(open(f"{root}/input/config/{name}.json"))
settings, resources = read("hyperparameters"), read("resourceconfig")
host = resources["current_host"]
print("training on", host, "of", len(resources["hosts"]))
mode = settings["mode"]
if mode == "fail":
    open(f"{root}/output/failure", "w").write("the loss is no longer a number")
    sys.exit(3)
if mode == "fail on one" and host == "algo-2":
    sys.exit(4)
if mode in ("wait", "fail on one"):
    def leave(*_):
        open(f"{root}/checkpoints/state", "w").write("kept")
        sys.exit(143)
    signal.signal(signal.SIGTERM, leave)
    print("waiting")
    time.sleep(60)
seen = sorted(os.listdir(f"{root}/input/data/train"))
open(f"{root}/model/{host}.json", "w").write(json.dumps({"channel": seen, "mode": mode, "all": settings}))
"""
SERVE = """
import http.server, os, sys
root = os.environ["NCF_ML_ROOT"]
content = "".join(open(os.path.join(root, "model", name)).read() for name in sorted(os.listdir(f"{root}/model")))
if "crash" in content:
    sys.exit("the model is no good")
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(503 if "sick" in content else 200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(422 if b"bad" in body else 200, b'{"model": "%s", "got": %s}' % (content.encode(), body or b"0"))
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["NCF_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "train").write_text(TRAIN)
    (folder / "serve").write_text(SERVE)
    return {
        "ncf-train": [sys.executable, str(folder / "train")],
        "ncf-deploy": [sys.executable, str(folder / "serve")],
    }


@pytest.fixture(scope="module")
def aws(programs: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws"), programs, grace=5, start_seconds=5) as local:
        local.create_bucket("bucket")
        client(local, "s3").put_object(Bucket="bucket", Key="data/a", Body=b"1")
        client(local, "s3").put_object(Bucket="bucket", Key="data/b", Body=b"2")
        yield local


def client(aws: LocalAws, service: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=aws.endpoint_url, **keys)


@pytest.fixture
def sagemaker(aws: LocalAws) -> Any:
    return client(aws, "sagemaker")


def request(name: str, mode: str = "train", hosts: int = 1, **changes: Any) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://bucket/data",
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "r.example/ncf-train:1.0", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"mode": mode, "epochs": "3"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def wait(
    describe: Callable[[], dict[str, Any]], key: str, passing: tuple[str, ...], seconds: float = 15
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (answer := describe())[key] in passing:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def finish(sagemaker: Any, name: str) -> dict[str, Any]:
    answer = wait(
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        "TrainingJobStatus",
        ("InProgress", "Stopping"),
    )
    assert_shape(answer, sagemaker.meta.service_model.operation_model("DescribeTrainingJob").output_shape)
    return answer


def assert_shape(value: Any, shape: Shape, path: str = "") -> None:
    """Every field is one of AWS's service model, and those that it requires are there."""
    if shape.type_name == "structure":
        fields = {key: entry for key, entry in value.items() if key != "ResponseMetadata"}
        assert set(fields) <= set(shape.members), path
        assert set(shape.required_members) <= set(fields), path
        for key, entry in fields.items():
            assert_shape(entry, shape.members[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for entry in value:
            assert_shape(entry, shape.member, path)
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum, path


def log_lines(aws: LocalAws, group: str, stream: str) -> list[str]:
    logs = client(aws, "logs")
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]
    return [
        event["message"]
        for entry in streams
        for event in logs.get_log_events(logGroupName=group, logStreamName=entry["logStreamName"], startFromHead=True)[
            "events"
        ]
    ]


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
        ("fail on one", 2, "AlgorithmError: algo-"),
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


def log_lines_or_none(aws: LocalAws, stream: str) -> list[str]:
    try:
        return log_lines(aws, "/aws/sagemaker/TrainingJobs", stream)
    except ClientError:
        return []


def test_a_job_that_takes_too_long_is_stopped(sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("slow", "wait", StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert finish(sagemaker, "slow")["SecondaryStatus"] == "MaxRuntimeExceeded"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RoleArn": "somebody-whom-nobody-knows"}, "not the ARN of a role"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
        ({"HyperParameters": {f"h{i}": "1" for i in range(101)}}, "at most 100"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "x/other:1", "TrainingInputMode": "File"}},
            "x/other:1.*ncf-train",
        ),
    ],
)
def test_requests_that_sagemaker_refuses(sagemaker: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        sagemaker.create_training_job(**request("refused", **changes))


def test_names_are_unique(sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("twin"))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already exists"):
        sagemaker.create_training_job(**request("twin"))
    finish(sagemaker, "twin")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="nobody")


def test_missing_data_fails_the_job(sagemaker: Any) -> None:
    asked = request("no-data")
    asked["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://bucket/nothing"
    sagemaker.create_training_job(**asked)
    assert "No S3 objects found" in finish(sagemaker, "no-data")["FailureReason"]


def put_model(aws: LocalAws, name: str, content: str) -> str:
    client(aws, "s3").put_object(Bucket="bucket", Key=f"models/{name}/text", Body=content.encode())
    sagemaker = client(aws, "sagemaker")
    source = {"S3Uri": f"s3://bucket/models/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": {"S3DataSource": source}},
    )
    variant = {
        "VariantName": "main",
        "ModelName": name,
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    return name


def settle(sagemaker: Any, name: str) -> dict[str, Any]:
    passing = ("Creating", "Updating", "RollingBack")
    answer = wait(lambda: sagemaker.describe_endpoint(EndpointName=name), "EndpointStatus", passing)
    assert_shape(answer, sagemaker.meta.service_model.operation_model("DescribeEndpoint").output_shape)
    return answer


def test_the_life_of_an_endpoint(aws: LocalAws, sagemaker: Any) -> None:
    runtime = client(aws, "sagemaker-runtime")
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, "one", "one"))
    assert settle(sagemaker, "e")["EndpointStatus"] == "InService"

    def ask(body: str = "1") -> dict[str, Any]:
        answer = runtime.invoke_endpoint(EndpointName="e", Body=body, ContentType="application/json")
        assert answer["InvokedProductionVariant"] == "main"
        content: dict[str, Any] = json.loads(answer["Body"].read())
        return content

    assert ask() == {"model": "one", "got": 1}
    assert aws.endpoint_address("e").startswith("http://127.0.0.1:")

    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, "two", "two"))
    assert settle(sagemaker, "e")["EndpointConfigName"] == "two"
    assert ask()["model"] == "two"

    for bad in ("sick", "crash"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, bad, bad))
        assert ask()["model"] == "two", "the old fleet serves meanwhile"
        answer = settle(sagemaker, "e")
        assert (answer["EndpointStatus"], answer["EndpointConfigName"]) == ("InService", "two")
        assert "ping health check" in answer["FailureReason"]
    assert ask()["model"] == "two"

    with pytest.raises(ClientError) as failure:
        runtime.invoke_endpoint(EndpointName="e", Body='"bad"', ContentType="application/json")
    assert failure.value.response["Error"]["Code"] == "ModelError"
    assert failure.value.response["OriginalStatusCode"] == 422

    sagemaker.delete_endpoint(EndpointName="e")
    with pytest.raises(ClientError, match='Could not find endpoint "arn'):
        sagemaker.describe_endpoint(EndpointName="e")
    with pytest.raises(ClientError, match="Endpoint e of account .* not found"):
        runtime.invoke_endpoint(EndpointName="e", Body="1")


def test_an_endpoint_that_never_gets_healthy_fails_with_its_last_lines(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="never", EndpointConfigName=put_model(aws, "broken", "crash"))
    answer = settle(sagemaker, "never")
    assert answer["EndpointStatus"] == "Failed"
    assert "the model is no good" in answer["FailureReason"]
    with pytest.raises(ClientError, match="is in status Failed"):
        client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName="never", Body="1")


def test_models_and_configs_are_not_overwritten(aws: LocalAws, sagemaker: Any) -> None:
    put_model(aws, "kept", "x")
    with pytest.raises(ClientError, match='Cannot create already existing model "arn'):
        put_model(aws, "kept", "y")
    variant = {
        "VariantName": "main",
        "ModelName": "none",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.create_endpoint_config(EndpointConfigName="orphan", ProductionVariants=[variant])
    assert sagemaker.describe_model(ModelName="kept")["ExecutionRoleArn"] == ROLE
    assert "kept" in [entry["ModelName"] for entry in sagemaker.list_models(NameContains="kep")["Models"]]
    sagemaker.delete_endpoint_config(EndpointConfigName="kept")
    sagemaker.delete_model(ModelName="kept")
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName="kept")


def test_close_leaves_no_process(programs: dict[str, list[str]], tmp_path: Path, aws: LocalAws) -> None:
    with pytest.raises(RuntimeError, match="another LocalAws is active"):
        LocalAws(tmp_path, programs)
    code = """
import json, os, sys, time
from pathlib import Path
from test_local_aws import LocalAws, client, put_model, request, settle
programs = json.loads(sys.argv[1])
with LocalAws(Path(sys.argv[2]), programs, grace=1) as aws:
    aws.create_bucket("bucket")
    client(aws, "s3").put_object(Bucket="bucket", Key="data/a", Body=b"1")
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_training_job(**request("left", "wait"))
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, "one", "one"))
    settle(sagemaker, "e")
    print("ready", flush=True)
    if len(sys.argv) > 3:
        time.sleep(60)
"""
    import signal
    import subprocess

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for number, interrupt in enumerate((False, True)):
        folder = tmp_path / str(number)
        command = [
            sys.executable,
            "-c",
            code,
            json.dumps(programs),
            str(folder),
            *(["wait"] if interrupt else []),
        ]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if interrupt:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert not [path for path in Path("/proc").glob("[0-9]*/environ") if str(folder) in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
