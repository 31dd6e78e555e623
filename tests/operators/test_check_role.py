"""Check of a role: a missing one, one of another account, a trust policy without SageMaker."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from doctor_output import examined, failure
from fake_account import ACCOUNT, OTHER_ACCOUNT, TRUST, Account, role_with

from ncf.operators.checks.role import trusts_sagemaker


@pytest.mark.parametrize(
    "policy",
    [
        {"Statement": TRUST},
        {"Statement": [{**TRUST, "Principal": {"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}}]},
        {"Statement": [{**TRUST, "Action": ["sts:TagSession", "sts:*"]}]},
        quote(json.dumps({"Statement": [TRUST]})),
    ],
)
def test_trust_may_be_written_in_many_ways(account: Account, capsys: pytest.CaptureFixture[str], policy: Any) -> None:
    account.answers["get_role"] = role_with(policy)
    assert examined(capsys)["train role"][0] == "ok"


def test_the_policy_as_botocore_decodes_it() -> None:
    assert trusts_sagemaker({"Statement": [TRUST]})
    assert not trusts_sagemaker({})


@pytest.mark.parametrize(
    "statement",
    [
        {**TRUST, "Principal": {"Service": "lambda.amazonaws.com"}},
        {**TRUST, "Principal": {"AWS": "*"}},
        {**TRUST, "Principal": "*"},
        {**TRUST, "Action": "sts:TagSession"},
        {**TRUST, "Effect": "Deny"},
    ],
)
def test_a_role_that_sagemaker_may_not_take(
    account: Account, capsys: pytest.CaptureFixture[str], statement: dict[str, Any]
) -> None:
    account.answers["get_role"] = role_with({"Statement": [statement]})
    finding = failure(capsys, "train role")
    assert "SageMaker may not assume this role" in finding
    assert "aws iam update-assume-role-policy --role-name ncf" in finding


def test_a_role_that_is_not_there(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.refuse("get_role", "NoSuchEntity")
    assert "there is no such role; 'aws iam list-roles'" in failure(capsys, "train role")


def test_a_role_of_another_account(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    finding = failure(capsys, "train role", train_role=f"arn:aws:iam::{OTHER_ACCOUNT}:role/ncf")
    assert ACCOUNT in finding
    assert OTHER_ACCOUNT in finding
    assert "get_role" not in account.requests
