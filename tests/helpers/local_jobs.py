"""What the tests of the stand-in share: tiny programs, requests, and waiting for what they lead to."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import Shape

from components.local.aws import LocalAws

ROLE = "arn:aws:iam::123456789012:role/test"
TRAIN = """
import json, os, signal, subprocess, sys, time
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
    time.sleep(0.5)
    open(f"{root}/output/failure", "w").write("the cause")
    sys.exit(4)
if mode == "leave a child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
if mode == "ignore signals":
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", ignore], start_new_session=True)
    exec(ignore)
if mode == "keep the last checkpoint":
    for name in os.listdir(f"{root}/checkpoints"):
        os.remove(f"{root}/checkpoints/{name}")
    open(f"{root}/checkpoints/new", "w").write("kept")
if mode == "interrupted":
    kept = sorted(os.listdir(f"{root}/checkpoints"))
    rounds = sum(name.startswith(host) for name in kept)
    print("rounds before this:", rounds)
    if rounds < 2:
        def go(*_):
            open(f"{root}/checkpoints/{host}-{rounds}", "w").write("kept")
            sys.exit(143)
        signal.signal(signal.SIGTERM, go)
        print("waiting", flush=True)
        time.sleep(60)
if mode in ("wait", "fail on one"):
    def leave(*_):
        open(f"{root}/checkpoints/state", "w").write("kept")
        open(f"{root}/output/failure", "a").write("told to stop ")
        sys.exit(143)
    signal.signal(signal.SIGTERM, leave)
    print("waiting")
    time.sleep(60)
open(f"{root}/output/data/environment.json", "w").write(json.dumps(dict(os.environ)))
seen = sorted(os.listdir(f"{root}/input/data/train"))
open(f"{root}/model/{host}.json", "w").write(json.dumps({"channel": seen, "mode": mode, "all": settings}))
"""
SERVE = """
import http.server, json, os, sys, time
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
        wishes = self.path == "/execution-parameters" and content.startswith("{")
        self.answer(503 if "sick" in content else 200, content.encode() if wishes else b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"environment" in body:
            own = {name: value for name, value in os.environ.items() if name.startswith(("SAGEMAKER_", "NCF_OF_THE_JOB"))}
            body = json.dumps({**own, "headers": dict(self.headers)}).encode()
        if b"slow" in body:
            open(f"{root}/asked", "w").close()
            while not os.path.exists(f"{root}/release"):
                time.sleep(0.02)
        status = 500 if "with an error" in content else 422 if b"bad" in body else 200
        self.answer(status, b'{"model": %s, "got": %s}' % (json.dumps(content).encode(), body or b"0"))
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["NCF_PORT"])), Handler).serve_forever()
"""


def client(aws: LocalAws, service: str) -> Any:
    return boto3.client(service, endpoint_url=aws.endpoint_url, region_name="us-east-1", **keys_of(aws))


def keys_of(aws: LocalAws) -> dict[str, str]:
    """The arguments of a client that name its access key."""
    return {name: aws.environment[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}


def another_key(aws: LocalAws) -> dict[str, str]:
    """As :func:`keys_of`, with a key of an IAM user."""
    iam, user = client(aws, "iam"), f"user-{uuid.uuid4()}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def signed(aws: LocalAws, path: str, body: bytes | None = None, method: str = "", **headers: str) -> Request:
    """A request that is signed as those of AWS's clients."""
    asked = AWSRequest(method or ("GET" if body is None else "POST"), f"{aws.endpoint_url}{path}", headers, body)
    key = keys_of(aws)
    credentials = Credentials(key["aws_access_key_id"], key["aws_secret_access_key"])
    SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(asked)
    return Request(asked.url, body, dict(asked.headers), method=asked.method)


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


def processes(mark: str) -> list[int]:
    """Those whose environment holds the mark, as a path below which they run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


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


def log_lines_or_none(aws: LocalAws, stream: str) -> list[str]:
    try:
        return log_lines(aws, "/aws/sagemaker/TrainingJobs", stream)
    except ClientError:
        return []


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


def tar_gz(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
