"""Resources of triggers in AWS, as CloudFormation: queues, rules and schedules of EventBridge, permissions to send.

``resources`` and ``outputs`` are parts of a template: a stack may include them, or ``senders`` for queues of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

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


def template(rules: Mapping[str, Rule], queue: str = "") -> dict[str, Any]:
    """The CloudFormation template of triggers.

    Args:
        rules: by name.
        queue: ARN of a queue that EventBridge's rules of the account may send to; '' for queues of this template.
    """
    own = {"Resources": resources(rules), "Outputs": outputs()}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Triggers of NCF: events that start pipelines",
        **({"Resources": senders(rules, queue)} if queue else own),
    }


def as_yaml(content: Mapping[str, Any]) -> str:
    """A template in YAML, without anchors, which CloudFormation does not accept."""
    return str(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False, width=120))


def resources(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Queues, what sends to them, and its permission, by logical name.

    Args:
        rules: by name.
    """
    events = [name for name, rule in rules.items() if not rule.on.schedule]
    return {
        **queues(),
        **senders(rules, _arn(QUEUE)),
        **({_POLICY: _policy(events)} if events else {}),
    }


def queues() -> dict[str, Any]:
    """The queue of events and its dead-letter queue, in which the messages of each rule keep their order."""
    return {
        DEAD_LETTERS: _queue("dead-letters"),
        QUEUE: _queue(
            "triggers",
            ContentBasedDeduplication=True,
            DeduplicationScope="messageGroup",  # an event may be for two rules
            FifoThroughputLimit="perMessageGroupId",
            VisibilityTimeout=LEASE_SECONDS,
            RedrivePolicy={"deadLetterTargetArn": _arn(DEAD_LETTERS), "maxReceiveCount": MAX_RECEIVES},
        ),
    }


def senders(rules: Mapping[str, Rule], queue: Any) -> dict[str, Any]:
    """EventBridge's rules and schedules, and the role of the schedules, by logical name.

    Args:
        rules: by name.
        queue: ARN of the queue, as a value of CloudFormation.
    """
    schedules = {name: rule.on.schedule for name, rule in rules.items() if rule.on.schedule}
    return {
        **{_logical("Rule", name): _rule(rule, queue) for name, rule in rules.items() if name not in schedules},
        **({_SCHEDULE_ROLE: _role(queue)} if schedules else {}),
        **{_logical("Schedule", name): _schedule(name, schedule, queue) for name, schedule in schedules.items()},
    }


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


def _rule(rule: Rule, queue: Any) -> dict[str, Any]:
    target = {"Id": "queue", "Arn": queue, "SqsParameters": {"MessageGroupId": rule.name}}
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


def _schedule(name: str, schedule: Schedule, queue: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "Description": f"Trigger {name}",
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": queue,
                "RoleArn": _arn(_SCHEDULE_ROLE),
                "Input": json.dumps(schedule.message()),
                "SqsParameters": {"MessageGroupId": name},
            },
        },
    }


def _role(queue: Any) -> dict[str, Any]:
    """The role by which EventBridge Scheduler sends messages."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue}
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
