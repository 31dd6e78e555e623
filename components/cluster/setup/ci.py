"""Role of CI: it pushes images and reads the metrics of runs. It may call nothing of SageMaker."""

from __future__ import annotations

from typing import Any

from components.cluster.cloudformation import role, substituted
from components.cluster.setup.ui import reading
from ncf.aws.permissions import OBJECTS, repositories

GITHUB = "token.actions.githubusercontent.com"
"""Issuer of the tokens of GitHub's workflows. The account has one OIDC provider for it."""
_METRICS = f"{OBJECTS}/evaluate/*metrics"
"""Metrics of runs, and neither data nor models."""
_SESSION_SECONDS = 21_600
"""Seconds for which a workflow may wait for its run, and then read its metrics."""
_PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImages",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
UNSCOPED = {"ecr:GetAuthorizationToken": "logs in to the registry as a whole"}
"""Actions of CI that AWS cannot bind to a resource, and why."""


def resources() -> dict[str, Any]:
    """The role that GitHub's workflows assume by OIDC."""
    made = role("Workflows of GitHub that push images", _trust(), statements())
    made["Properties"]["MaxSessionDuration"] = _SESSION_SECONDS
    return {"CiRole": {**made, "Condition": "HasGitHubRepository"}}


def statements() -> list[dict[str, Any]]:
    """What CI may do, in a template with the parameters or resources Bucket and Prefix."""
    return [
        _allow(list(_PUSH), *repositories("ncf-*")),
        _allow(list(UNSCOPED), "*"),
        *reading(_METRICS),
    ]


def actions() -> set[str]:
    """The actions of these statements."""
    allowed = (entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in statements())
    return {action for entry in allowed for action in entry["Action"]}


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [substituted(resource) for resource in resources]}


def _trust() -> dict[str, Any]:
    """https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws"""
    provider = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:oidc-provider/{GITHUB}"
    claims = {
        f"{GITHUB}:aud": "sts.amazonaws.com",
        f"{GITHUB}:sub": substituted("repo:${GitHubRepository}:${GitHubSubject}"),
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": substituted(provider)},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": claims},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
