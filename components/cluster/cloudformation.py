"""Parts of CloudFormation templates: functions, roles and the YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def write(path: Path, head: str, template: Mapping[str, Any]) -> Path:
    """Write a template.

    Args:
        path: file to write.
        head: comment at its top.
        template: the template.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + yaml.dump(template, Dumper=_Plain, sort_keys=False, width=120))
    return path


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def substituted(value: Any) -> Any:
    """A text with ``${...}`` as ``Fn::Sub``; everything else as it is."""
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def only_if(condition: str, value: Any) -> dict[str, Any]:
    """A value that is left out unless a condition of the template holds."""
    return {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]}


def is_given(parameter: str) -> dict[str, Any]:
    """The condition that a parameter is not empty."""
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def is_true(parameter: str) -> dict[str, Any]:
    """The condition that a parameter is ``true``."""
    return {"Fn::Equals": [{"Ref": parameter}, "true"]}


def document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role(description: str, trust: Any, statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A role with one policy.

    Args:
        description: of the role.
        trust: policy document of those who may assume it.
        statements: of the policy.
    """
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": description,
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "ncf", "PolicyDocument": document(statements)}],
        },
    }


def arn_output(description: str, resource: str) -> dict[str, Any]:
    """An output: the ARN of a resource."""
    return {"Description": description, "Value": {"Fn::GetAtt": [resource, "Arn"]}}
