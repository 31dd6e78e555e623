"""Messages of the set-up stack: the topic for people, and the queue of events for the watcher."""

from __future__ import annotations

import json
from typing import Any

from components.cluster.cloudformation import document, substituted
from components.cluster.trigger_resources import QUEUE, queues

TOPIC = "Topic"
"""Logical ID of the topic."""
FAILED_JOBS = "FailedJobs"
"""Logical ID of the rule that reports failed training jobs."""


def resources() -> dict[str, Any]:
    """Topic, queue, dead-letter queue, their policies, and a rule for failed training jobs."""
    return {
        TOPIC: {"Type": "AWS::SNS::Topic", "Properties": {}},
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": TOPIC}], "PolicyDocument": document(_publishers())},
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Condition": "HasEmail",
            "Properties": {"TopicArn": {"Ref": TOPIC}, "Protocol": "email", "Endpoint": {"Ref": "Email"}},
        },
        **queues(),
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": QUEUE}], "PolicyDocument": document(_senders())},
        },
        FAILED_JOBS: _failed_jobs(),
    }


def _publishers() -> list[dict[str, Any]]:
    """Alarms, budgets and rules of the account.

    EventBridge publishes to a topic without a condition: AWS's own example for rules has none.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    allowed = {"Effect": "Allow", "Action": "sns:Publish", "Resource": {"Ref": TOPIC}}
    of_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    services = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    return [
        {**allowed, "Principal": {"Service": services}, "Condition": of_account},
        {**allowed, "Principal": {"Service": "events.amazonaws.com"}},
    ]


def _senders() -> list[dict[str, Any]]:
    """The rules of the account, by TLS only."""
    rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*"
    queue = {"Fn::GetAtt": [QUEUE, "Arn"]}
    return [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnLike": {"aws:SourceArn": substituted(rules)}},
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]


def _failed_jobs() -> dict[str, Any]:
    """A message for each training job that failed, in words.

    CloudWatch has no metric of failed jobs. https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    detail = {"TrainingJobStatus": ["Failed"], "TrainingJobName": [{"prefix": substituted("${JobPrefix}-")}]}
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"], "detail": detail}
    text = json.dumps("Training job <name> failed: <reason>")
    paths = {"name": "$.detail.TrainingJobName", "reason": "$.detail.FailureReason"}
    target = {
        "Id": "topic",
        "Arn": {"Ref": TOPIC},
        "InputTransformer": {"InputPathsMap": paths, "InputTemplate": text},
    }
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "Failed training jobs, to the topic",
            "EventPattern": pattern,
            "State": "ENABLED",
            "Targets": [target],
        },
    }
