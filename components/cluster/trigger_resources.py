"""Resources of triggers in AWS, as CloudFormation: queues, rules and schedules of EventBridge, permissions to send.

``resources`` and ``outputs`` are parts of a template: a stack may include them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ncf.durations import seconds
from ncf.watching.causes import Schedule
from ncf.watching.queue import LEASE_SECONDS
from ncf.watching.rules import Rule

QUEUE, DEAD_LETTERS = "TriggerQueue", "TriggerDeadLetterQueue"
"""Logical names of the queues."""
MAX_RECEIVES = 1000
"""Receipts after which SQS itself moves a message to the dead-letter queue: the maximum. The watcher receives a message
at most a hundred times a day, and moves what can never be submitted."""
_RETENTION = seconds("14d", "retention")
_POLICY, _SCHEDULE_ROLE = "TriggerQueuePolicy", "TriggerScheduleRole"


def template(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The CloudFormation template of triggers.

    Args:
        rules: by name.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Triggers of NCF: events that start pipelines",
        "Resources": resources(rules),
        "Outputs": outputs(),
    }


def resources(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The resources by logical name.

    Args:
        rules: by name.
    """
    schedules = {name: rule.on.schedule for name, rule in rules.items() if rule.on.schedule}
    found = {
        DEAD_LETTERS: _queue("dead-letters"),
        QUEUE: _queue(
            "triggers",
            ContentBasedDeduplication=True,
            DeduplicationScope="messageGroup",  # an event may be for two rules
            FifoThroughputLimit="perMessageGroupId",
            VisibilityTimeout=LEASE_SECONDS,
            RedrivePolicy={"deadLetterTargetArn": _arn(DEAD_LETTERS), "maxReceiveCount": MAX_RECEIVES},
        ),
        **{_logical("Rule", name): _rule(rule) for name, rule in rules.items() if name not in schedules},
    }
    if events := [name for name in rules if name not in schedules]:
        found[_POLICY] = _policy(events)
    if schedules:
        found[_SCHEDULE_ROLE] = _role()
        found |= {_logical("Schedule", name): _schedule(name, schedule) for name, schedule in schedules.items()}
    return found


def outputs() -> dict[str, Any]:
    """What the watcher and the template of the roles need of the queues."""
    return {
        "QueueUrl": {"Description": "The watcher's --queue", "Value": {"Ref": QUEUE}},
        "DeadLetterQueueUrl": {"Description": "The watcher's --dead-letters", "Value": {"Ref": DEAD_LETTERS}},
        "QueueArn": {"Description": "TriggerQueueArn of permissions.yaml", "Value": _arn(QUEUE)},
        "DeadLetterQueueArn": {
            "Description": "TriggerDeadLetterQueueArn of permissions.yaml",
            "Value": _arn(DEAD_LETTERS),
        },
    }


def _queue(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": {"Fn::Sub": f"${{AWS::StackName}}-{name}.fifo"},
            "FifoQueue": True,
            "MessageRetentionPeriod": _RETENTION,
            "SqsManagedSseEnabled": True,
            **properties,
        },
    }


def _rule(rule: Rule) -> dict[str, Any]:
    target = {"Id": "queue", "Arn": _arn(QUEUE), "SqsParameters": {"MessageGroupId": rule.name}}
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": f"Trigger {rule.name} of pipeline {rule.pipeline}",
            "EventPattern": rule.on.kind.pattern(),
            "Targets": [target],
        },
    }


def _policy(rules: list[str]) -> dict[str, Any]:
    """Permission of these rules of EventBridge, and of no others, to send messages."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": _arn(QUEUE),
        "Condition": {"ArnEquals": {"aws:SourceArn": [_arn(_logical("Rule", name)) for name in rules]}},
    }
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": [{"Ref": QUEUE}], "PolicyDocument": document}}


def _schedule(name: str, schedule: Schedule) -> dict[str, Any]:
    return {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "Description": f"Trigger {name}",
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": _arn(QUEUE),
                "RoleArn": _arn(_SCHEDULE_ROLE),
                "Input": json.dumps(schedule.message()),
                "SqsParameters": {"MessageGroupId": name},
            },
        },
    }


def _role() -> dict[str, Any]:
    """The role by which EventBridge Scheduler sends messages."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": _arn(QUEUE)}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "Schedules of triggers",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [
                {"PolicyName": "send", "PolicyDocument": {"Version": "2012-10-17", "Statement": [send]}},
            ],
        },
    }


def _logical(kind: str, rule: str) -> str:
    """Logical name of a resource: letters and digits alone. Two names of rules never give the same one."""
    return f"Trigger{kind}" + "".join(part.capitalize() for part in rule.split("-"))


def _arn(resource: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, "Arn"]}
