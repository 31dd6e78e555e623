"""Check of quotas: too low, unknown."""

from __future__ import annotations

from typing import Any

import pytest
from doctor_output import examined, failure
from fake_account import Account


@pytest.mark.parametrize(
    ("check", "key", "quota", "settings"),
    [
        ("train quota", "train", "ml.g5.xlarge for training job usage", {"train_instance_count": 3}),
        (
            "train quota",
            "spot",
            "ml.g5.xlarge for spot training job usage",
            {"train_instance_count": 3, "train_spot_instance": True},
        ),
    ],
)
def test_quotas_that_are_too_low(
    account: Account, capsys: pytest.CaptureFixture[str], check: str, key: str, quota: str, settings: dict[str, Any]
) -> None:
    finding = failure(capsys, check, **settings)
    assert f"'{quota}' is 2; 3 needed" in finding
    assert "aws service-quotas request-service-quota-increase --service-code sagemaker" in finding
    assert f"--quota-code L-{key.upper()} --desired-value 3 --region us-east-1" in finding


def test_the_quota_of_an_endpoint_is_for_both_fleets_of_an_update(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert examined(capsys)["deploy quota"][0] == "ok", "2 for an endpoint with one instance"
    finding = failure(capsys, "deploy quota", deploy_instance_count=2)
    assert "'ml.m5.large for endpoint usage' is 2; 4 needed by the old and the new instances of an update" in finding
    assert "--quota-code L-HOST --desired-value 4 --region us-east-1" in finding


def test_an_unknown_quota_is_skipped(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    verdict, finding = examined(capsys, train_instance_type="ml.none.large")["train quota"]
    assert verdict == "skipped"
    assert "no quota 'ml.none.large for training job usage'" in finding
