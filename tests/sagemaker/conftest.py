from __future__ import annotations

import pytest
from fake_sagemaker import ROLE, FakeSageMaker, set_environment

from ncf.aws import logs
from ncf.aws.session import Aws
from ncf.sagemaker.hosting import guard
from ncf.sagemaker.settings import AwsSettings
from ncf.sagemaker.training import job as training_job


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    """An empty account; waiting takes no time."""
    set_environment(monkeypatch)
    monkeypatch.setattr(training_job, "_SECONDS_UNTIL_LOG_SETTLES", 0.0)
    monkeypatch.setattr(guard, "_SECONDS_TO_CALM", 0.01)
    monkeypatch.setattr(logs, "_SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr(logs, "_SECONDS_BETWEEN_STREAMS", 0.0)
    return FakeSageMaker()


@pytest.fixture
def aws(sagemaker: FakeSageMaker) -> Aws:
    """Clients of that account."""
    return sagemaker.attach(Aws(AwsSettings(role=ROLE)))
