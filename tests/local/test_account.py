"""An AWS account of this machine that outlives runs: `python pipeline.py aws`."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from model_packages import clients, new_group, new_package
from random_model import random_model
from rich.console import Console
from warm_python import shared_python

import pipeline
from components.local import account, recommend
from components.local.aws import RemoteAws
from components.local.aws.errors import ApiError
from components.local.aws.processes import wait_until
from components.local.run import shared_account
from ncf.errors import InputError
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import packages

ROOT = Path(pipeline.__file__).parent


def start(folder: Path, python: str = "") -> subprocess.Popen[str]:
    """The command, once its file is there; by the interpreter that is warm, unless another is given."""
    process = subprocess.Popen(
        [python or str(shared_python()), "pipeline.py", "aws", "--folder", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"},
    )
    assert wait_until(lambda: (folder / account.ENVIRONMENT).exists() or process.poll() is not None, 60)
    assert process.poll() is None, process.communicate()
    assert wait_until(lambda: account.running(folder, Console(quiet=True)) is not None, 20)
    return process


def s3(remote: RemoteAws) -> Any:
    """A client with the key of an account: boto3's default session keeps the first one of this process."""
    return boto3.client(
        "s3",
        endpoint_url=remote.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=remote.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=remote.environment["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("account") / "aws"
    process = start(folder)
    try:
        yield folder
    finally:
        process.kill()
        process.communicate()


def test_the_key_is_in_a_file_of_this_user_that_a_shell_can_read(folder: Path) -> None:
    file = folder / account.ENVIRONMENT
    assert file.stat().st_mode & 0o777 == 0o600
    script = f". '{file}' && env"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    shell = dict(line.split("=", 1) for line in printed.splitlines())
    remote = account.running(folder, Console(quiet=True))
    assert remote is not None
    assert remote.environment.items() <= shell.items()
    assert shell["AWS_DEFAULT_REGION"] == "us-east-1", "variables of AWS in the starter's shell do not count"


def test_a_second_account_does_not_start_in_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / account.ENVIRONMENT).read_text()
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["aws", "--folder", str(folder)])
    assert f"an account is up in '{folder}'" in capsys.readouterr().err
    assert (folder / account.ENVIRONMENT).read_text() == before


def test_a_fault_is_requested_by_another_process(folder: Path) -> None:
    remote = account.running(folder, Console(quiet=True))
    assert remote is not None
    remote.add_fault({"kind": "refuse", "name": "S3:GET", "error": "AccessDenied"})
    client = s3(remote)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.list_objects_v2(Bucket=account.BUCKET)
    assert client.list_objects_v2(Bucket=account.BUCKET)["KeyCount"] == 0
    with pytest.raises(ApiError, match="kind"):
        remote.add_fault({"kind": "unknown"})


def test_a_model_in_its_bucket_is_recommended_from(folder: Path, tmp_path: Path) -> None:
    remote = account.running(folder, Console(quiet=True))
    assert remote is not None
    random_model().save(tmp_path / "model", {}, {})
    uri = f"s3://{account.BUCKET}/runs/one/model"
    for path in (tmp_path / "model").iterdir():
        s3(remote).upload_file(str(path), account.BUCKET, f"runs/one/model/{path.name}")
    console = Console(file=io.StringIO())
    request = recommend.RecommendRequest(uri, "", tmp_path / "out", {"top_k": 2}, account=folder)
    assert recommend.run(pipeline.recommend_pipeline, request, console)["users"] == 12
    assert "what is made there outlives this run" in console.file.getvalue()  # type: ignore[attr-defined]


def test_containers_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="containers cannot call the account"):
        shared_account(folder, "1.0", Console(quiet=True))


def test_the_commands_that_it_prints_work(tmp_path: Path) -> None:
    process = start(tmp_path / "aws", sys.executable)  # the commands name its folder
    try:
        assert process.stdout is not None
        printed = []
        for line in iter(process.stdout.readline, ""):
            printed.append(line.strip())
            if line.startswith("Ctrl-C"):
                break
        remote = account.running(tmp_path / "aws", Console(quiet=True))
        assert remote is not None
        script = [line for line in printed if line.startswith((". ", ".venv/bin/ncf "))]
        assert len(script) == 3
        with patch.dict("os.environ", remote.environment):
            aws = clients()
            new_package(aws, new_group(aws, "ncf"))
            done = subprocess.run(
                ["sh", "-ec", "\n".join(script)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert next(packages(aws, "ncf")).status == APPROVED
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_file_and_its_files(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path / "aws")
    process.send_signal(number)
    printed, err = process.communicate(timeout=30)
    assert process.returncode == (0 if number == signal.SIGINT else 143), err
    assert ("has ended" in printed) == (number == signal.SIGINT)
    assert list((tmp_path / "aws").iterdir()) == []


def test_the_file_of_an_account_that_was_killed_is_ignored_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "aws"
    process = start(folder)
    process.kill()
    process.communicate()
    console = Console(file=io.StringIO())
    assert account.running(folder, console) is None
    assert "is ignored: no account answers with its key" in console.file.getvalue()  # type: ignore[attr-defined]
    again = start(folder)
    again.terminate()
    again.communicate(timeout=30)


@pytest.mark.parametrize("text", ["", "export AWS_ENDPOINT_URL='http://127.0.0.1:9\n", "export A=1\nexport B\n"])
def test_a_damaged_file_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / account.ENVIRONMENT).write_text(text)
    assert account.running(tmp_path, Console(quiet=True)) is None


def test_another_server_is_not_taken_for_it(folder: Path) -> None:
    remote = account.running(folder, Console(quiet=True))
    assert remote is not None
    stranger = RemoteAws({**remote.environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert not stranger.has_bucket(account.BUCKET)
