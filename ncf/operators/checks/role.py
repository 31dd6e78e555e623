"""Check of an IAM role: it exists in the account, and SageMaker may assume it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from ncf.aws.errors import RefusedError
from ncf.operators.checks.account import Account
from ncf.operators.checks.check import Check, FailedError

CALLS = ("iam:GetRole",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_SAGEMAKER, _ASSUME = "sagemaker.amazonaws.com", "sts:AssumeRole"


def check(name: str, account: Account, arn: str) -> Check:
    """The check of a role.

    Args:
        name: of the check; with an underscore in place of the space, that of the parameter.
        account: that SageMaker is called in.
        arn: of the role.
    """
    role = arn.rsplit("/", 1)[-1]
    by_hand = f"'aws iam get-role --role-name {role}' should show that {_SAGEMAKER} may {_ASSUME}"
    return Check(name, lambda: _check(name, account, arn, role), CALLS[0], by_hand)


def _check(name: str, account: Account, arn: str, role: str) -> str:
    owner = arn.split(":")[4]
    if account.id and owner != account.id:
        raise FailedError(
            f"{arn} is in account {owner}, but calls are made in account {account.id}, and SageMaker accepts roles "
            f"of its own account only; give a --{name.replace(' ', '-')} of {account.id}, or use credentials of {owner}"
        )
    try:
        found = account.call("iam", "get_role", RoleName=role)["Role"]
    except RefusedError as error:
        if error.code != "NoSuchEntity":
            raise
        raise FailedError(
            f"{arn}: there is no such role; 'aws iam list-roles' lists all roles, 'aws iam create-role' creates "
            f"one, with {_SAGEMAKER} in its trust policy"
        ) from None
    if not trusts_sagemaker(found.get("AssumeRolePolicyDocument") or {}):
        statement = {"Effect": "Allow", "Principal": {"Service": _SAGEMAKER}, "Action": _ASSUME}
        raise FailedError(
            f"{arn}: SageMaker may not assume this role; 'aws iam update-assume-role-policy --role-name {role}' "
            f"accepts a policy with the statement {json.dumps(statement)}"
        )
    return f"{arn} trusts {_SAGEMAKER}"


def trusts_sagemaker(policy: Mapping[str, Any] | str) -> bool:
    """Whether a trust policy lets SageMaker assume its role. Conditions are assumed to hold.

    Args:
        policy: as a document, or as URL-encoded JSON.
    """
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    return any(_allows_sagemaker(statement) for statement in _as_list(document.get("Statement")))


def _allows_sagemaker(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _as_list(principal.get("Service")) if isinstance(principal, Mapping) else []
    actions = _as_list(statement.get("Action"))
    return (
        statement.get("Effect") == "Allow"
        and _SAGEMAKER in services
        and any(fnmatchcase(_ASSUME.lower(), action.lower()) for action in actions)
    )


def _as_list(value: Any) -> list[Any]:
    """A policy element as a list: policies hold a single value or a list of values."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
