"""An AWS account as fixtures: of fakes, without waiting."""

from __future__ import annotations

import pytest
from fake_sagemaker import ROLE, FakeSageMaker

from ncf.aws import logs, session
from ncf.aws.session import Aws
from ncf.sagemaker.hosting import rollout
from ncf.sagemaker.jobs import job as training_job
from ncf.sagemaker.settings import AwsSettings


def set_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region; polling and retries take no time."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(session, "_POLL_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(session, "_PAUSE_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(session, "CONSISTENCY_SECONDS", 0.02)


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    """An empty account; waiting takes no time."""
    set_environment(monkeypatch)
    monkeypatch.setattr(training_job, "_SECONDS_UNTIL_LOG_SETTLES", 0.0)
    monkeypatch.setattr(rollout, "_QUIET_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(logs, "_SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr(logs, "_SECONDS_BETWEEN_STREAM_LISTINGS", 0.0)
    return FakeSageMaker()


@pytest.fixture
def aws(sagemaker: FakeSageMaker) -> Aws:
    """Clients of that account."""
    return sagemaker.attach(Aws(AwsSettings(role=ROLE)))
