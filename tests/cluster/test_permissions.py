"""The roles allow what the code calls, where it calls it, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import ncf
from components.cluster.permissions import (
    UNSCOPED_BY_SAGEMAKER,
    modules_of_operators,
    modules_of_pods,
    modules_of_watcher,
    template,
)
from ncf.aws.permissions import BEHIND, FREE, GRANTS, UNSCOPED, calls
from ncf.stage.command import commands, load

ROOT = Path(ncf.__file__).parent
TEMPLATE = ROOT.parent / "components" / "cluster" / "permissions.yaml"
SERVICES = {
    "application-autoscaling": "application-autoscaling",
    "cloudwatch": "cloudwatch",
    "ecr": "ecr",
    "events": "events",
    "iam": "iam",
    "logs": "logs",
    "pricing": "pricing",
    "resourcegroupstaggingapi": "tag",
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "service-quotas": "servicequotas",
    "sns": "sns",
    "sqs": "sqs",
    "sts": "sts",
}
"""boto3's services that the code calls, and what their actions begin with."""
IMPLIED = {
    "cloudwatch:TagResource": {"cloudwatch:PutMetricAlarm"},
    "sagemaker:AddTags": {"sagemaker:CreateEndpoint", "sagemaker:CreateModelPackageGroup"},
}
"""Actions that another call's Tags need."""
ELSEWHERE = {"ncf.storage", "ncf.aws.session"}
"""Modules whose calls botocore makes for them: S3's transfers, roles that are assumed."""


def operations() -> dict[str, set[str]]:
    """boto3's method names, and the actions that they may be."""
    session, found = botocore.session.get_session(), {}
    for service, prefix in SERVICES.items():
        for operation in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(operation), set()).add(f"{prefix}:{operation}")
    return found


def called(module: str, known: dict[str, set[str]]) -> list[set[str]]:
    """For each call in a module's source, the actions that it may be."""
    tree = ast.parse(Path(import_module(module).__file__ or "").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [known[text] for text in texts if text in known]


ROOMS = ("aws", "sagemaker", "operators", "watching")
"""Folders of ncf that call AWS, beside ncf.storage."""
PREFIXED = r":\*/\$\{JobPrefix\}-\*$|:model-package(-group)?/\$\{RegistryPrefix\}\*$|/\$\{EndpointPrefix\}\*$"
"""End of the ARNs of SageMaker's resources."""
WITHOUT_AWS = ("fit", "serve", "show")


def modules() -> list[str]:
    """Every module of the rooms that call AWS."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("[a-z]*.py")]
    return sorted(".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in paths)


def modules_with_calls() -> set[str]:
    return {name for name in modules() if hasattr(import_module(name), "CALLS")}


def test_each_module_declares_just_what_it_calls() -> None:
    known = operations()
    for module in modules():
        if module in ELSEWHERE or module.endswith((".settings", ".permissions")):
            continue
        declared = set(getattr(import_module(module), "CALLS", ()))
        found = [actions for actions in called(module, known) if actions != {"sts:AssumeRole"}]
        for actions in found:
            assert actions & declared, f"{module} calls {actions} and does not declare it"
        implied = {action for action in declared & IMPLIED.keys() if IMPLIED[action] & declared}
        own = {action for action in declared - implied if not action.startswith("s3:")}
        assert own <= set().union(*found), f"{module} declares what it does not call"


def imported(module: str, seen: set[str]) -> set[str]:
    """A module and those of the rooms that call AWS that it imports, wherever it does so."""
    if module in seen:
        return seen
    seen.add(module)
    tree = ast.parse(Path(import_module(module).__file__ or "").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(tuple(f"ncf.{room}" for room in ROOMS)):
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                imported(name if find_module(name) else str(node.module), seen)
    return seen


def find_module(name: str) -> bool:
    return (ROOT.parent / Path(*name.split("."))).with_suffix(".py").is_file()


@pytest.mark.parametrize("name", [name for name in commands() if name not in WITHOUT_AWS])
def test_each_command_is_granted_the_calls_of_the_modules_it_imports(name: str) -> None:
    command = load(name)
    reached = {module for module in imported(command.__module__, set()) if hasattr(import_module(module), "CALLS")}
    declared = set(command.calls) - {"ncf.storage"}
    assert declared == reached | ({"ncf.aws.session"} if reached else set())
    assert "ncf.storage" in command.calls or not (command.inputs() or command.outputs()), (
        f"artifacts may be in S3: add 'ncf.storage' to the class variable 'calls' of {name}"
    )


def test_no_module_that_calls_aws_is_left_out() -> None:
    declared = {module for name in commands() for module in load(name).calls}
    assert declared == modules_with_calls() | {"ncf.storage"}


def statements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for statement in document["Statement"]:
        yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def policies() -> dict[str, dict[str, Any]]:
    resources = template()["Resources"]
    of_roles = {
        name: entry["Properties"]["Policies"][0]["PolicyDocument"]
        for name, entry in resources.items()
        if entry["Type"] == "AWS::IAM::Role"
    }
    return of_roles | {"OperatorPolicy": resources["OperatorPolicy"]["Properties"]["PolicyDocument"]}


def actions(name: str) -> set[str]:
    return {action for statement in statements(policies()[name]) for action in statement["Action"]}


def test_pods_and_operators_may_do_what_they_call_and_nothing_else() -> None:
    assert actions("PodRole") == calls(modules_of_pods()) | {"iam:PassRole"} | behind(modules_of_pods())
    assert actions("WatcherRole") == calls(modules_of_watcher())
    of_operators = calls(modules_of_operators()) | {"iam:PassRole"} | behind(modules_of_operators())
    assert actions("OperatorPolicy") == of_operators


def behind(modules: Iterable[str]) -> set[str]:
    """What AWS asks of the caller of another action, each with its source."""
    asked = [BEHIND[action] for action in calls(modules) & BEHIND.keys()]
    assert all("https://docs.aws.amazon.com/" in reason for _, reason in asked)
    return {action for grants, _ in asked for action in grants}


@pytest.mark.parametrize("name", ["PodRole", "WatcherRole", "TrainingRole", "HostingRole", "OperatorPolicy"])
def test_no_wildcards_but_those_with_a_reason(name: str) -> None:
    reasons = {**UNSCOPED, **UNSCOPED_BY_SAGEMAKER}
    for statement in statements(policies()[name]):
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]
        if statement["Resource"] == ["*"]:
            assert set(statement["Action"]) <= reasons.keys(), statement
        else:
            assert "*" not in statement["Resource"]


def test_the_watcher_receives_from_its_queue_and_sends_to_its_dead_letters_alone() -> None:
    found = {
        action: statement["Resource"]
        for statement in statements(policies()["WatcherRole"])
        for action in statement["Action"]
        if action.startswith("sqs:")
    }
    assert found.pop("sqs:SendMessage") == [{"Fn::Sub": "${TriggerDeadLetterQueueArn}"}]
    assert all(resources == [{"Fn::Sub": "${TriggerQueueArn}"}] for resources in found.values())
    assert len(found) == 3


@pytest.mark.parametrize(
    ("name", "roles"), [("PodRole", ["TrainingRole", "HostingRole"]), ("OperatorPolicy", ["HostingRole"])]
)
def test_each_role_is_passed_to_sagemaker_alone(name: str, roles: list[str]) -> None:
    passed = [entry for entry in statements(policies()[name]) if entry["Action"] == ["iam:PassRole"]]
    assert [entry["Resource"] for entry in passed] == [[{"Fn::Sub": f"${{{role}.Arn}}"}] for role in roles]
    for entry in passed:
        assert entry["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_what_we_name_is_allowed_by_its_prefix() -> None:
    for action, grant in GRANTS.items():
        if action.startswith("sagemaker:") and action not in UNSCOPED:
            for resource in grant.resources + (grant.also.resources if grant.also else ()):
                assert re.search(PREFIXED, resource), (action, resource)
    assert not GRANTS.keys() & FREE
    assert set(GRANTS) == calls(modules_of_pods() | modules_of_operators() | modules_of_watcher()), (
        "a grant that nothing needs"
    )


def test_the_template_is_valid() -> None:
    lint = [
        sys.executable,
        "-c",
        "from cfnlint.runner import main; raise SystemExit(main())",
        "-t",
        str(TEMPLATE),
        "-i",
        "I",
    ]
    result = subprocess.run(lint, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_trust_of_pods_is_one_service_account() -> None:
    trust = template()["Resources"]["PodRole"]["Properties"]["AssumeRolePolicyDocument"]["Fn::Sub"]
    (statement,) = json.loads(trust)["Statement"]
    assert statement["Condition"]["StringEquals"]["${OidcProvider}:sub"] == (
        "system:serviceaccount:${Namespace}:${ServiceAccount}"
    )


def test_train_starts_jobs_reads_their_logs_and_copies_artifacts() -> None:
    assert calls(load("train").calls) >= {"sagemaker:CreateTrainingJob", "s3:PutObject", "logs:GetLogEvents"}
