"""Evaluation of the policies of a CloudFormation template, as IAM does it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

Context = Mapping[str, str | Sequence[str]]

ACCOUNT = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012"}
STACK = {
    "Bucket": "runs",
    "Prefix": "kfp/team-a/",
    "JobPrefix": "ncf-train",
    "EndpointPrefix": "ncf",
    "RegistryPrefix": "ncf",
    "Namespace": "team-a",
    "TrainingRole.Arn": "arn:aws:iam::123456789012:role/train",
    "HostingRole.Arn": "arn:aws:iam::123456789012:role/host",
}
"""Parameters of the template for the namespace team-a."""

OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda found, wanted: found == wanted,
    "StringNotEquals": lambda found, wanted: found != wanted,
    "StringLike": fnmatchcase,
}


class Policy:
    """A policy of a template.

    Args:
        document: policy document with ``Fn::Sub`` and ``Fn::If``.
        parameters: values of the template's parameters, and of attributes such as ``TrainingRole.Arn``.
        conditions: conditions of the template that hold.
    """

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, str], conditions: Sequence[str] = ()
    ) -> None:
        self._document, self._parameters, self._conditions = document, parameters, conditions

    def actions(self) -> set[str]:
        return {action for statement in self._statements() for action in statement["Action"]}

    def resources(self, action: str) -> set[str]:
        found = (entry for entry in self._statements() if action in entry["Action"])
        return {self._filled(resource) for statement in found for resource in statement["Resource"]}

    def allows(self, action: str, resource: str, context: Context | None = None) -> bool:
        """Whether a call is allowed.

        Args:
            action: such as ``sagemaker:StopTrainingJob``.
            resource: ARN that the call concerns.
            context: keys of the request and of the resource that exist.
        """
        return any(
            action in statement["Action"]
            and any(fnmatchcase(resource, self._filled(pattern)) for pattern in statement["Resource"])
            and self._holds(statement.get("Condition", {}), context or {})
            for statement in self._statements()
        )

    def size(self) -> int:
        """Characters that count towards IAM's quota, with all statements of conditions."""
        return len(re.sub(r"\s", "", json.dumps(self._rendered(self._document))))

    def _rendered(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._rendered(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            return self._rendered(value["Fn::If"][1])
        return self._filled(value) if "Fn::Sub" in value else {key: self._rendered(it) for key, it in value.items()}

    def _statements(self) -> Iterator[Mapping[str, Any]]:
        for statement in self._document["Statement"]:
            if "Fn::If" not in statement:
                yield statement
            elif statement["Fn::If"][0] in self._conditions:
                yield statement["Fn::If"][1]

    def _filled(self, value: Any) -> str:
        text = value["Fn::Sub"] if isinstance(value, dict) else value
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: self._parameters[found[1]], text)

    def _holds(self, condition: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
        return all(
            self._matches(operator, context.get(key), wanted)
            for operator, entries in condition.items()
            for key, wanted in entries.items()
        )

    def _matches(self, operator: str, found: str | Sequence[str] | None, wanted: Any) -> bool:
        values = [self._filled(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
        if operator == "Null":
            return values == [str(found is None).lower()]
        is_for_all, name = operator.startswith("ForAllValues:"), operator.removeprefix("ForAllValues:")
        if found is None:
            return is_for_all or name.endswith("IfExists")
        compare = OPERATORS[name.removesuffix("IfExists")]
        combine = all if "Not" in name else any
        held = [
            combine(compare(one, value) for value in values) for one in ([found] if isinstance(found, str) else found)
        ]
        return all(held)
