"""Alarms of the set-up stack, and the budget. All of them notify the topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.cluster.cloudformation import substituted
from components.cluster.setup.messages import TOPIC
from components.cluster.trigger_resources import DEAD_LETTERS, QUEUE
from ncf.aws.names import VARIANT

REQUESTS, INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
"""Namespaces of an endpoint's metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html"""
_OF_ENDPOINT = "HasEndpointName"
_MAX_ERROR_PERCENT, _MAX_REJECTED_PERCENT, _MAX_USED_PERCENT = 1, 5, 80
_MAX_AGE_SECONDS = 86_400
_MINUTE, _HOUR = 60, 3600
_BUDGET_PERCENT = {"ACTUAL": 80, "FORECASTED": 100}


def conditions() -> dict[str, Any]:
    """Conditions of these resources."""
    both = [{"Condition": _OF_ENDPOINT}, {"Condition": "HasExpectsTraffic"}]
    return {"WatchesTraffic": {"Fn::And": both}}


def resources() -> dict[str, Any]:
    """Alarms of the endpoint and of the queues, and the budget."""
    return {
        "EndpointErrors": _of_endpoint(
            "errors",
            "5xx answers, percent of the requests",
            "IF(requests > 0, 100 * errors / requests, 0)",
            {"errors": ("Invocation5XXErrors", "Sum"), "requests": ("Invocations", "Sum")},
            _MAX_ERROR_PERCENT,
        ),
        "EndpointRejections": _of_endpoint(
            "rejections",
            "4xx answers, percent of the requests",
            "IF(requests > 0, 100 * errors / requests, 0)",
            {"errors": ("Invocation4XXErrors", "Sum"), "requests": ("Invocations", "Sum")},
            _MAX_REJECTED_PERCENT,
        ),
        "EndpointLatency": _of_endpoint(
            "latency",
            "99th percentile of the model's latency, milliseconds",
            "latency / 1000",  # of microseconds
            {"latency": ("ModelLatency", "p99")},
            {"Ref": "MaxLatency"},
        ),
        "EndpointCpu": _of_endpoint(
            "cpu",
            "CPU of the instances, percent of all cores",
            "cpu / ${EndpointCores}",  # CPUUtilization is the sum of the cores
            {"cpu": ("CPUUtilization", "Average")},
            _MAX_USED_PERCENT,
            INSTANCES,
        ),
        "EndpointMemory": _of_endpoint(
            "memory",
            "Memory of the instances, percent",
            "memory",
            {"memory": ("MemoryUtilization", "Maximum")},
            _MAX_USED_PERCENT,
            INSTANCES,
        ),
        "EndpointTraffic": _traffic(),
        "QueueAge": _of_queue(
            QUEUE, "queue-age", "ApproximateAgeOfOldestMessage", "Age of the oldest message, seconds", _MAX_AGE_SECONDS
        ),
        "DeadLetterDepth": _of_queue(
            DEAD_LETTERS, "dead-letters", "ApproximateNumberOfMessagesVisible", "Messages that nobody could handle", 0
        ),
        "Budget": _budget(),
    }


def _of_endpoint(
    name: str,
    description: str,
    expression: str,
    metrics: Mapping[str, tuple[str, str]],
    limit: Any,
    namespace: str = REQUESTS,
) -> dict[str, Any]:
    """An alarm for three of five minutes above a limit.

    Args:
        name: end of the alarm's name.
        description: what is measured, and its unit.
        expression: metric math of the metrics.
        metrics: name in the expression -> name of CloudWatch's metric and statistic.
        limit: value above which the alarm fires.
        namespace: of the metrics.
    """
    queries: list[dict[str, Any]] = [
        {"Id": "value", "Expression": substituted(expression), "Label": name, "ReturnData": True}
    ]
    for identifier, (metric, statistic) in metrics.items():
        of_metric = {"Namespace": namespace, "MetricName": metric, "Dimensions": _dimensions()}
        stat = {"Metric": of_metric, "Period": _MINUTE, "Stat": statistic}
        queries.append({"Id": identifier, "MetricStat": stat, "ReturnData": False})
    measured = {"Metrics": queries, "EvaluationPeriods": 5, "DatapointsToAlarm": 3}
    return _alarm(f"endpoint-{name}", description, limit, measured, condition=_OF_ENDPOINT)


def _traffic() -> dict[str, Any]:
    measured = {
        **_metric(REQUESTS, "Invocations", "Sum", _dimensions()),
        "Period": _HOUR,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",  # without requests there are no data
    }
    return _alarm("endpoint-traffic", "Requests of an hour", 1, measured, condition="WatchesTraffic")


def _of_queue(queue: str, name: str, metric: str, description: str, limit: int) -> dict[str, Any]:
    dimensions = [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]
    measured = {**_metric("AWS/SQS", metric, "Maximum", dimensions), "Period": 5 * _MINUTE, "EvaluationPeriods": 1}
    return _alarm(name, description, limit, measured)


def _metric(namespace: str, metric: str, statistic: str, dimensions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Namespace": namespace, "MetricName": metric, "Statistic": statistic, "Dimensions": dimensions}


def _dimensions() -> list[dict[str, Any]]:
    return [{"Name": "EndpointName", "Value": {"Ref": "EndpointName"}}, {"Name": "VariantName", "Value": VARIANT}]


def _alarm(name: str, description: str, limit: Any, measured: Mapping[str, Any], condition: str = "") -> dict[str, Any]:
    """An alarm that notifies the topic when it fires, and when it is over.

    Its name has a prefix of its own, because pods may delete alarms whose names begin with EndpointPrefix.
    """
    return {
        "Type": "AWS::CloudWatch::Alarm",
        **({"Condition": condition} if condition else {}),
        "Properties": {
            "AlarmName": substituted(f"watch-${{AWS::StackName}}-{name}"),
            "AlarmDescription": description,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": limit,
            "TreatMissingData": "notBreaching",
            **measured,
            "AlarmActions": [{"Ref": TOPIC}],
            "OKActions": [{"Ref": TOPIC}],
        },
    }


def _budget() -> dict[str, Any]:
    """A budget for SageMaker. Unlike the metric of AWS/Billing, it exists in every region."""
    subscriber = {"SubscriptionType": "SNS", "Address": {"Ref": TOPIC}}
    return {
        "Type": "AWS::Budgets::Budget",
        "Condition": "HasMonthlyBudget",
        "DependsOn": "TopicPolicy",
        "Properties": {
            "Budget": {
                "BudgetName": substituted("${AWS::StackName}-sagemaker"),
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": {"Ref": "MonthlyBudget"}, "Unit": "USD"},
                "CostFilters": {"Service": ["Amazon SageMaker"]},
            },
            "NotificationsWithSubscribers": [
                {
                    "Notification": {
                        "NotificationType": kind,
                        "ComparisonOperator": "GREATER_THAN",
                        "Threshold": percent,
                        "ThresholdType": "PERCENTAGE",
                    },
                    "Subscribers": [subscriber],
                }
                for kind, percent in _BUDGET_PERCENT.items()
            ],
        },
    }
