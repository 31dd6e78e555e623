"""Multi-model endpoints: models are downloaded, loaded, unloaded and kept on disk as by SageMaker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, client, processes, settle, tar_gz

from components.local.aws import LocalAws, Processes
from components.local.aws.processes import wait_until

SERVE = """
import http.server, json, os, pathlib, sys, threading, time
assert os.environ["SAGEMAKER_MULTI_MODEL"] == "true"
root, models, lock = pathlib.Path(os.environ["NCF_ML_ROOT"]), {}, threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log(self, line):
        with lock, (root / "log").open("a") as stream:
            print(line, file=stream)
    def do_GET(self):
        self.answer(200, {})
    def do_DELETE(self):
        content = models.pop(self.path.split("/")[2])
        self.log(f"unload {content}")
        self.answer(200, {})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/models":
            content = (pathlib.Path(body["url"]) / "text").read_text()
            if content == "broken":
                return self.answer(400, {"error": "no weights"})
            if len(models) >= 2:
                return self.answer(507, {"error": "two models are loaded"})
            self.log(f"load {content}")
            time.sleep(0.1)
            models[body["model_name"]] = content
            return self.answer(200, {})
        name = self.path.split("/")[2]
        if name not in models:
            return self.answer(404, {"error": "not loaded"})
        self.answer(200, {"model": models[name], "target": self.headers["X-Amzn-SageMaker-Target-Model"]})
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["NCF_PORT"])), Handler).serve_forever()
"""
IMAGE, PREFIX = "r.example/ncf-deploy:1.0", "tenants"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    script = tmp_path_factory.mktemp("programs") / "serve"
    script.write_text(SERVE)
    programs = {"ncf-deploy": [sys.executable, str(script)]}
    with LocalAws(tmp_path_factory.mktemp("aws"), Processes(programs), start_seconds=10) as local:
        local.create_bucket("bucket")
        yield local


def put(aws: LocalAws, target: str, content: str) -> None:
    client(aws, "s3").put_object(Bucket="bucket", Key=f"{PREFIX}/{target}", Body=tar_gz("text", content.encode()))


def create_model(aws: LocalAws, name: str, **container: Any) -> str:
    client(aws, "sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", **container},
    )
    return name


@pytest.fixture(scope="module")
def endpoint(aws: LocalAws) -> str:
    """An endpoint whose container has room for two models."""
    sagemaker = client(aws, "sagemaker")
    model = create_model(aws, "several", ModelDataUrl=f"s3://bucket/{PREFIX}/")
    variant = {"VariantName": "main", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="several", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="several", EndpointConfigName="several")
    assert settle(sagemaker, "several")["EndpointStatus"] == "InService"
    for target in ("de.tar.gz", "fr.tar.gz", "it.tar.gz"):
        put(aws, target, target[:2])
    return "several"


def ask(aws: LocalAws, endpoint: str, target: str = "") -> dict[str, Any]:
    more = {"TargetModel": target} if target else {}
    answer = client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body="{}", **more)
    content: dict[str, Any] = json.loads(answer["Body"].read())
    return content


def refusal(aws: LocalAws, endpoint: str, target: str = "") -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        ask(aws, endpoint, target)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def new_log(aws: LocalAws, endpoint: str) -> list[str]:
    """Lines of the container since the last call."""
    path = aws.root / "endpoints" / endpoint / "several" / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return lines


def test_models_are_loaded_for_their_first_request_and_the_least_recent_makes_room(
    aws: LocalAws, endpoint: str
) -> None:
    assert ask(aws, endpoint, "de.tar.gz") == {"model": "de", "target": "de.tar.gz"}
    assert ask(aws, endpoint, "fr.tar.gz")["model"] == "fr"
    assert ask(aws, endpoint, "de.tar.gz")["model"] == "de"
    assert new_log(aws, endpoint) == ["load de", "load fr"]
    assert ask(aws, endpoint, "it.tar.gz")["model"] == "it"
    assert new_log(aws, endpoint) == ["unload fr", "load it"]
    assert ask(aws, endpoint, "fr.tar.gz")["model"] == "fr"
    assert new_log(aws, endpoint) == ["unload de", "load fr"]


def test_concurrent_first_requests_are_one_load(aws: LocalAws, endpoint: str) -> None:
    put(aws, "shop/es.tar.gz", "es")
    new_log(aws, endpoint)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(aws, endpoint, "shop/es.tar.gz")["model"], range(8)))
    assert answers == ["es"] * 8
    assert new_log(aws, endpoint).count("load es") == 1


def test_a_replaced_archive_is_not_read_again(aws: LocalAws, endpoint: str) -> None:
    """AWS: "Use a new and unique name. Don't overwrite model artifacts in Amazon S3"."""
    put(aws, "nl.tar.gz", "old")
    assert ask(aws, endpoint, "nl.tar.gz")["model"] == "old"
    put(aws, "nl.tar.gz", "new")
    for other in ("de.tar.gz", "fr.tar.gz"):
        ask(aws, endpoint, other)  # it is unloaded, and stays on disk
    assert ask(aws, endpoint, "nl.tar.gz")["model"] == "old"
    put(aws, "nl-2.tar.gz", "new")
    assert ask(aws, endpoint, "nl-2.tar.gz")["model"] == "new"


def test_a_deleted_archive_is_served_while_it_is_on_disk(aws: LocalAws, endpoint: str) -> None:
    put(aws, "be.tar.gz", "be")
    ask(aws, endpoint, "be.tar.gz")
    client(aws, "s3").delete_object(Bucket="bucket", Key=f"{PREFIX}/be.tar.gz")
    assert ask(aws, endpoint, "be.tar.gz")["model"] == "be"


def test_what_is_not_there_or_broken_fails_alone(aws: LocalAws, endpoint: str) -> None:
    code, message = refusal(aws, endpoint, "absent.tar.gz")
    assert code == "ValidationError"
    assert "Failed to download model data(bucket: bucket, key: tenants/absent.tar.gz)" in message
    put(aws, "absent.tar.gz", "there")
    assert ask(aws, endpoint, "absent.tar.gz")["model"] == "there", "it is looked for again"

    client(aws, "s3").put_object(Bucket="bucket", Key=f"{PREFIX}/text.tar.gz", Body=b"no archive")
    for _ in range(2):
        assert "cannot be unpacked" in refusal(aws, endpoint, "text.tar.gz")[1]
    put(aws, "broken.tar.gz", "broken")
    code, message = refusal(aws, endpoint, "broken.tar.gz")
    assert (code, "no weights" in message) == ("ModelError", True)
    assert ask(aws, endpoint, "de.tar.gz")["model"] == "de"


def test_a_container_that_was_killed_loads_its_models_again(aws: LocalAws, endpoint: str) -> None:
    ask(aws, endpoint, "de.tar.gz")
    new_log(aws, endpoint)
    (pid,) = processes(f"{aws.root}/endpoints/{endpoint}/")
    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            answer = ask(aws, endpoint, "de.tar.gz")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ModelError":
                raise
            return False
        return bool(answer["model"] == "de")

    assert wait_until(answers, 10)
    assert new_log(aws, endpoint) == ["load de"]


def test_requests_name_a_model_if_there_are_several(aws: LocalAws, endpoint: str) -> None:
    assert "target model header missing" in refusal(aws, endpoint)[1]
    sagemaker = client(aws, "sagemaker")
    source = {"S3Uri": f"s3://bucket/{PREFIX}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    with pytest.raises(ClientError, match="ModelDataUrl must be provided"):
        create_model(aws, "folder", ModelDataSource={"S3DataSource": source})
    less = {
        "VariantName": "v",
        "ModelName": "several",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
    }
    with pytest.raises(ClientError, match="do not support multi-model containers"):
        sagemaker.create_endpoint_config(EndpointConfigName="less", ProductionVariants=[less])


def test_batch_transform_takes_no_multi_model_container(aws: LocalAws, endpoint: str) -> None:
    with pytest.raises(ClientError, match="does not support containers in MultiModel mode"):
        client(aws, "sagemaker").create_transform_job(
            TransformJobName="t",
            ModelName=endpoint,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x"}}},
            TransformOutput={"S3OutputPath": "s3://bucket/y"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
