"""The stand-in as a program of its own: what its clients need is in their environment, and nothing else is.

A pod of the cluster has just the variables that ``package.py`` has put into the package.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from rich.console import Console

from components.local.process_runner import pods_as_processes, set_retries
from components.local.run import Recorder, call, quiet_kfp
from ncf.stage.executor_input import RUN_ID_PLACEHOLDER
from tests.kind.conftest import KIND, ROOT

BUCKET = "ncf-kind"
KEY = {"AWS_ACCESS_KEY_ID": "NCFKIND0000000000001", "AWS_SECRET_ACCESS_KEY": "ncf-kind"}
ROLE = "arn:aws:iam::123456789012:role/ncf-kind"
PARAMETERS = {
    "data_uri": f"s3://{BUCKET}/interactions.csv",
    "data_items_uri": f"s3://{BUCKET}/items.csv",
    "aws_s3_prefix": f"s3://{BUCKET}/ncf",
    "train_role": ROLE,
    "deploy_role": ROLE,
    "train_epochs": 3,
    "gate_not_worse_than": "none",
}
SECONDS_TO_START = 60


@dataclass(frozen=True)
class StandIn:
    """A running one."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """As a pod has it; a host's name as there, where botocore might put the bucket's before it."""
        return {"AWS_ENDPOINT_URL": f"http://localhost:{self.port}", "AWS_REGION": "us-east-1", **KEY}

    def client(self, service: str, key: str = KEY["AWS_ACCESS_KEY_ID"]) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="ncf-kind",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def without_aws() -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return others | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    folder, port = tmp_path_factory.mktemp("stand-in"), free_port()
    programs = {"train": ROOT / "images" / "train" / "train", "serve": ROOT / "images" / "deploy" / "serve"}
    arguments = [f"--{name}={shlex.quote(str(path))}" for name, path in programs.items()]
    process = subprocess.Popen(
        [
            sys.executable,
            str(KIND / "stand_in.py"),
            f"--folder={folder}",
            f"--port={port}",
            f"--bucket={BUCKET}",
            *arguments,
        ],
        env={**without_aws(), **KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not (folder / "ready").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield StandIn(process, port, folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, "Kubernetes ends a pod with SIGTERM"
    finally:
        process.kill()


def test_generated_data_lie_in_the_bucket(stand_in: StandIn) -> None:
    listed = stand_in.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [entry["Key"] for entry in listed][:2] == ["interactions.csv", "items.csv"]


@pytest.mark.parametrize("service", ["s3", "sagemaker"])
def test_another_key_is_refused(stand_in: StandIn, service: str) -> None:
    client = stand_in.client(service, "SOMEBODY-ELSE")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client.list_buckets() if service == "s3" else client.list_endpoints()


@pytest.mark.parametrize("path", ["/ncf-kind/interactions.csv", "/_faults"])
def test_a_request_without_a_key_is_refused(stand_in: StandIn, path: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        direct.open(f"http://127.0.0.1:{stand_in.port}{path}")
    assert refused.value.code == 403


def test_without_a_key_it_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, str(KIND / "stand_in.py"), f"--folder={tmp_path}", "--port=1", "--bucket=b"]
    ended = subprocess.run(command, env=without_aws(), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "the environment has no 'AWS_ACCESS_KEY_ID'" in ended.stderr


@pytest.mark.slow
def test_the_pipeline_runs_by_the_variables_of_the_package_alone(
    stand_in: StandIn, package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in set(os.environ) - set(without_aws()):
        monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")
    content = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    package.adapt(content, stand_in.environment)
    for jobs, (gate, bound) in enumerate({"open": 0.0, "closed": 1.0}.items(), 1):
        adapted = tmp_path / f"{gate}.yaml"
        adapted.write_text(yaml.safe_dump(content).replace(RUN_ID_PLACEHOLDER, f"run-{gate}"))
        set_retries(adapted, False)
        recorder = Recorder(Console(quiet=True))
        with quiet_kfp(), pods_as_processes(tmp_path / gate, {}, recorder):
            arguments = {**PARAMETERS, "gate_min_hr_at_10": bound, "deploy_endpoint_name": f"ncf-{gate}"}
            call(adapted, arguments, recorder)
        assert ("deploy" in recorder.tasks) == (gate == "open")
        assert verified(stand_in, gate, gate, jobs) == f"gate {gate}: as expected"
    # and what is not so is found
    assert "though the gate was open" in verified(stand_in, "open", "closed", 2)
    assert "though the gate was closed" in verified(stand_in, "closed", "open", 2)
    assert "expected 1 Completed training jobs" in verified(stand_in, "open", "open", 1)


def verified(stand_in: StandIn, gate: str, endpoint: str, jobs: int) -> str:
    """What ``verify.py`` says, which fails exactly if something is wrong."""
    command = [sys.executable, str(KIND / "verify.py"), gate, f"ncf-{endpoint}", str(jobs)]
    environment = {**without_aws(), **stand_in.environment, "AWS_DEFAULT_REGION": "us-east-1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode == 0) == (not ended.stderr), ended.stderr
    return (ended.stdout + ended.stderr).strip()
