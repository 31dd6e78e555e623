"""The CloudFormation template of the set-up stack. It includes the roles of ``permissions.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.cluster import cloudformation, permissions
from components.cluster.cloudformation import arn_output, is_given, is_true, substituted
from components.cluster.setup import alarms, ci, dashboard, messages, storage, ui
from components.cluster.setup.parameters import MAY_BE_NONE, PARAMETERS, SWITCHES
from components.cluster.trigger_resources import DEAD_LETTERS, QUEUE

FILE_NAME = "setup.yaml"
_IN_PLACE = {
    storage.BUCKET: storage.BUCKET,
    "NotifyTopicArn": messages.TOPIC,
    "TriggerQueueArn": f"{QUEUE}.Arn",
    "TriggerDeadLetterQueueArn": f"{DEAD_LETTERS}.Arn",
}
"""Parameter of the roles' template -> resource of this one in its place, or attribute of one."""
_ALWAYS = {f"Has{parameter}" for parameter in _IN_PLACE}
"""Conditions that hold with these resources."""


def template() -> dict[str, Any]:
    """The template: storage, messages, roles, alarms and a dashboard."""
    roles = _roles()
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What a team needs once for NCF on Kubeflow and SageMaker",
        "Parameters": {
            **roles["Parameters"],
            **{name: {"Type": "String", **entry} for name, entry in PARAMETERS.items()},
        },
        "Rules": roles["Rules"],
        "Conditions": {
            **roles["Conditions"],
            **{f"Has{name}": is_given(name) for name in MAY_BE_NONE},
            **{f"Has{name}": is_true(name) for name in SWITCHES},
            **storage.conditions(),
            **alarms.conditions(),
        },
        "Resources": {
            **storage.resources(),
            **messages.resources(),
            **roles["Resources"],
            **ui.resources(),
            **ci.resources(),
            **alarms.resources(),
            **dashboard.resources(),
        },
        "Outputs": {**_outputs(), **roles["Outputs"]},
    }


def write(folder: Path) -> Path:
    """Write the template."""
    head = "# Made by `make pipeline`, with permissions.yaml in it. Deploy it with CAPABILITY_IAM.\n"
    return cloudformation.write(folder / FILE_NAME, head, template())


def _roles() -> dict[str, Any]:
    """The template of the roles, with resources of this stack in place of parameters."""
    roles = {name: entry for name, entry in permissions.template().items() if name != "Metadata"}
    for name in _IN_PLACE:
        del roles["Parameters"][name]
        roles["Conditions"].pop(f"Has{name}", None)
    resolved: dict[str, Any] = _in_place(roles)
    return resolved


def _in_place(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_place(entry) for entry in value]
    if isinstance(value, str):
        for parameter, resource in _IN_PLACE.items():
            value = value.replace(f"${{{parameter}}}", f"${{{resource}}}")
        return value
    if not isinstance(value, Mapping):
        return value
    if value.get("Fn::If", [""])[0] in _ALWAYS:
        return _in_place(value["Fn::If"][1])
    return {
        name: _in_place(entry)
        for name, entry in value.items()
        if not (name == "Condition" and isinstance(entry, str) and entry in _ALWAYS)
    }


def _outputs() -> dict[str, Any]:
    shown = {
        "BucketName": ("Bucket of runs", {"Ref": storage.BUCKET}),
        "PipelineRoot": ("Pipeline root of runs", substituted(f"s3://${{{storage.BUCKET}}}/${{Prefix}}runs")),
        "Checkpoints": (
            "Checkpoints that expire: checkpoint_s3_uri",
            substituted(f"s3://${{{storage.BUCKET}}}/${{Prefix}}{storage.CHECKPOINTS}"),
        ),
        "Captures": (
            "Captures that expire: data_capture_s3_uri",
            substituted(f"s3://${{{storage.BUCKET}}}/${{Prefix}}{storage.CAPTURES}"),
        ),
        "Registry": (
            "REGISTRY of make images push",
            substituted("${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}"),
        ),
        "TopicArn": ("The pipeline's notify", {"Ref": messages.TOPIC}),
        "QueueUrl": ("Queue of events for the watcher", {"Ref": QUEUE}),
        "QueueArn": ("Target of EventBridge's rules for the watcher", {"Fn::GetAtt": [QUEUE, "Arn"]}),
        "DeadLetterQueueUrl": ("Events that nobody could handle", {"Ref": DEAD_LETTERS}),
        "DeadLetterQueueArn": ("ARN of that queue", {"Fn::GetAtt": [DEAD_LETTERS, "Arn"]}),
        "DashboardName": ("Dashboard of CloudWatch", {"Ref": "Dashboard"}),
    }
    ci_role = arn_output("Role of GitHub's workflows: the variable NCF_CI_ROLE", "CiRole")
    return {
        "UiRoleArn": arn_output("Annotate the service account of KFP's UI with it", "UiRole"),
        **{name: {"Description": description, "Value": value} for name, (description, value) in shown.items()},
        "CiRoleArn": {"Condition": "HasGitHubRepository", **ci_role},
    }
