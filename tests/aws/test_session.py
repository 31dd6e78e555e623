"""What may pass is waited out, within bounds; what may not fails at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_jobs import another_key

from components.local.aws import LocalAws, Processes
from components.local.aws.faults import Faults
from ncf.aws import session
from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with LocalAws(tmp_path_factory.mktemp("aws"), Processes({})) as local:
        yield local


@pytest.fixture
def faults(stand_in: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in stand_in.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(session, "_PAUSE_SECONDS", (0.01, 0.02))
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    yield stand_in.faults
    stand_in.faults.clear()


def listed(aws: Aws, **more: Any) -> Any:
    return aws.call("sagemaker", "list_endpoints", **more)["Endpoints"]


@pytest.mark.parametrize("error", ["ThrottlingException", "InternalFailure", "ServiceUnavailable", "drop", "cut"])
def test_what_passes_is_waited_out(faults: Faults, error: str) -> None:
    aws = Aws(AwsAccess())
    faults.add("refuse", "ListEndpoints", error=error, times=9)
    assert listed(aws) == []
    assert faults.coming() == []


@pytest.mark.parametrize(("error", "words"), [("ThrottlingException", "Rate exceeded"), ("drop", "cannot be reached")])
def test_waiting_is_bounded(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, error: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "_PATIENCE_SECONDS", 2.0)
    aws = Aws(AwsAccess())
    listed(aws)
    faults.add("refuse", "ListEndpoints", error=error, times=10_000)
    with pytest.raises(RemoteError, match=words):
        listed(aws)
    assert "retrying" in caplog.text
    with pytest.raises(RemoteError, match=words):
        listed(aws, patience=0.0)


def test_what_nobody_has_answered_yet_is_waited_for_less_long(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_FIRST_PATIENCE_SECONDS", 0.0)
    faults.add("refuse", "ListEndpoints", error="drop", times=4)
    with pytest.raises(RemoteError, match="cannot be reached"):
        listed(aws := Aws(AwsAccess()))
    assert listed(aws) == []


def test_what_does_not_pass_fails_at_once(faults: Faults) -> None:
    faults.add("refuse", "ListEndpoints", error="AccessDeniedException", times=2)
    with pytest.raises(RefusedError, match="AccessDeniedException"):
        listed(Aws(AwsAccess()))
    assert faults.coming()[0]["times"] == 1


def profiles(path: Path, key: Mapping[str, str]) -> None:
    path.write_text("\n".join(["[chosen]", *(f"{name} = {value}" for name, value in key.items()), ""]))


def test_expired_credentials_are_read_again(
    stand_in: LocalAws, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, old, new = tmp_path / "credentials", another_key(stand_in), another_key(stand_in)
    profiles(credentials, old)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    aws = Aws(AwsAccess(profile="chosen"))
    assert listed(aws) == []
    faults.add("expire", old["aws_access_key_id"])
    tries = []

    def renew(_: float) -> None:
        tries.append(1)
        if len(tries) == 2:
            profiles(credentials, new)

    # not of the module that other threads share
    monkeypatch.setattr("ncf.aws.session.time", SimpleNamespace(sleep=renew, monotonic=time.monotonic))
    assert listed(aws) == []
    assert len(tries) == 2


def test_an_unknown_profile_is_named(faults: Faults) -> None:
    with pytest.raises(InputError, match=r"profile.*nobody"):
        Aws(AwsAccess(profile="nobody")).client("sagemaker")
