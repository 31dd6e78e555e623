"""CloudFormation on the stand-in: moto's, with the kinds of resources and the rules that it lacks.

A resource of these kinds is a call of its service's API. So botocore checks the names and types of its properties.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from local_jobs import client
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

from components.local.aws import LocalAws, Processes

Clients = Callable[[str], Any]
Apply = Callable[[Clients, dict[str, Any]], str]
_CLEAN = parsing.clean_json


def _alarm(clients: Clients, properties: dict[str, Any]) -> str:
    clients("cloudwatch").put_metric_alarm(**properties)
    return str(properties["AlarmName"])


def _budget(clients: Clients, properties: dict[str, Any]) -> str:
    budget = properties["Budget"]
    limit = {**budget["BudgetLimit"], "Amount": str(budget["BudgetLimit"]["Amount"])}
    clients("budgets").create_budget(
        AccountId="123456789012", **{**properties, "Budget": {**budget, "BudgetLimit": limit}}
    )
    return str(budget["BudgetName"])


def _bucket_policy(clients: Clients, properties: dict[str, Any]) -> str:
    policy = json.dumps(properties["PolicyDocument"])
    clients("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=policy)
    return f"{properties['Bucket']}-policy"


def _topic_policy(clients: Clients, properties: dict[str, Any]) -> str:
    (topic,) = properties["Topics"]
    policy = json.dumps(properties["PolicyDocument"])
    clients("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return f"{topic}-policy"


def _queue_policy(clients: Clients, properties: dict[str, Any]) -> str:
    (queue,) = properties["Queues"]
    clients("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(properties["PolicyDocument"])})
    return f"{queue}-policy"


def _subscription(clients: Clients, properties: dict[str, Any]) -> str:
    return str(clients("sns").subscribe(**properties)["SubscriptionArn"])


ADDED: Mapping[str, Apply] = {
    "AWS::Budgets::Budget": _budget,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
}
"""Kinds of resources that moto's CloudFormation lacks."""


class _Made(CloudFormationModel):
    """A resource that an API's call made."""

    __module__ = "tests.helpers.stacks"  # moto takes a word of it for the service

    def __init__(self, identifier: str) -> None:
        self.physical_resource_id = identifier


def _model(kind: str, apply: Apply, clients: Clients) -> type[_Made]:
    class Model(_Made):
        __module__ = _Made.__module__

        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @classmethod
        def create_from_cloudformation_json(cls, _: str, given: Any, *__: Any, **___: Any) -> Any:
            return cls(apply(clients, given["Properties"]))

        @classmethod
        def update_from_cloudformation_json(cls, *, cloudformation_json: Any, **_: Any) -> Any:
            return cls(apply(clients, cloudformation_json["Properties"]))

        @classmethod
        def delete_from_cloudformation_json(cls, name: str, *_: Any, **__: Any) -> None:
            if kind == "AWS::CloudWatch::Alarm":
                clients("cloudwatch").delete_alarms(AlarmNames=[name])

    return Model


def _without_missing(value: Any, resources: Any) -> Any:
    """CloudFormation drops ``AWS::NoValue`` from lists, too."""
    cleaned = _CLEAN(value, resources)
    return [entry for entry in cleaned if entry is not None] if isinstance(value, list) else cleaned


@contextmanager
def cloudformation(folder: Path) -> Iterator[Clients]:
    """Clients of a stand-in whose CloudFormation makes resources of all kinds of our templates."""
    with LocalAws(folder, Processes({})) as aws:

        def clients(service: str) -> Any:
            return client(aws, service)

        models = {kind: _model(kind, apply, clients) for kind, apply in ADDED.items()}
        known = parsing.get_model_map()
        with (
            patch.object(parsing, "clean_json", _without_missing),
            patch.object(parsing, "get_model_map", lambda: {**known, **models}),
        ):
            yield clients


def parameters(given: Mapping[str, object]) -> list[dict[str, str]]:
    """Parameters in the form of the API."""
    return [{"ParameterKey": name, "ParameterValue": str(value)} for name, value in given.items()]
