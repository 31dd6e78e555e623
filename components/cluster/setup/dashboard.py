"""Dashboard of the set-up stack: endpoint, training jobs, queues, notifications and costs."""

from __future__ import annotations

import json
from typing import Any

from components.cluster.setup.alarms import INSTANCES, REQUESTS
from components.cluster.setup.messages import FAILED_JOBS, TOPIC
from components.cluster.trigger_resources import DEAD_LETTERS, QUEUE
from ncf.aws.names import CHALLENGER_VARIANT, VARIANT

_JOBS = "/aws/sagemaker/TrainingJobs"
_REGION_OF_COSTS, _SECONDS_BETWEEN_COSTS = "us-east-1", 21_600
_WIDTH, _HEIGHT, _COLUMNS = 8, 6, 3


def resources() -> dict[str, Any]:
    """The dashboard."""
    body = json.dumps({"widgets": [_placed(number, widget) for number, widget in enumerate(_widgets())]})
    # CloudWatch refuses an empty dimension
    endpoint = {"Fn::If": ["HasEndpointName", {"Ref": "EndpointName"}, "none"]}
    properties = {
        "DashboardName": {"Ref": "AWS::StackName"},
        "DashboardBody": {"Fn::Sub": [body, {"Watched": endpoint}]},
    }
    return {"Dashboard": {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}}


def _widgets() -> list[dict[str, Any]]:
    """Properties of the widgets, in rows of three."""
    return [
        _graph("Endpoint: requests", "Sum", _of_endpoint(REQUESTS, "Invocations")),
        _graph("Endpoint: errors", "Sum", _of_endpoint(REQUESTS, "Invocation4XXErrors", "Invocation5XXErrors")),
        _graph("Endpoint: latency, microseconds", "p99", _of_endpoint(REQUESTS, "ModelLatency", "OverheadLatency")),
        _graph(
            "Endpoint: instances, percent",
            "Average",
            _of_endpoint(INSTANCES, "CPUUtilization", "MemoryUtilization", "DiskUtilization"),
        ),
        _graph("Training jobs: CPU and memory, percent", "Average", _of_jobs("CPUUtilization", "MemoryUtilization")),
        _graph("Training jobs: GPU, percent", "Average", _of_jobs("GPUUtilization", "GPUMemoryUtilization")),
        _graph(
            "Failed training jobs and notifications",
            "Sum",
            [
                ["AWS/Events", "MatchedEvents", "RuleName", f"${{{FAILED_JOBS}}}"],
                ["AWS/SNS", "NumberOfMessagesPublished", "TopicName", f"${{{TOPIC}.TopicName}}"],
            ],
        ),
        _graph(
            "Queue: age of the oldest message, seconds",
            "Maximum",
            [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", f"${{{QUEUE}.QueueName}}"]],
        ),
        _graph(
            "Queue and dead letters: messages",
            "Maximum",
            [
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", f"${{{queue}.QueueName}}"]
                for queue in (QUEUE, DEAD_LETTERS)
            ],
        ),
        _costs(),
    ]


def _costs() -> dict[str, Any]:
    """Charges of the month so far, of which the account publishes a metric if billing alerts are switched on.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/monitor_estimated_charges_with_cloudwatch.html
    """
    charges = ["AWS/Billing", "EstimatedCharges", "ServiceName", "AmazonSageMaker", "Currency", "USD"]
    graph = _graph("SageMaker in this month, USD", "Maximum", [charges])
    return {**graph, "region": _REGION_OF_COSTS, "period": _SECONDS_BETWEEN_COSTS}


def _of_endpoint(namespace: str, *metrics: str) -> list[Any]:
    """Lines of the live model, and of a challenger while there is one."""
    variants = (VARIANT, CHALLENGER_VARIANT)
    return [
        [namespace, metric, "EndpointName", "${Watched}", "VariantName", variant]
        for metric in metrics
        for variant in variants
    ]


def _of_jobs(*metrics: str) -> list[Any]:
    """Searches, because the names of jobs are not known beforehand."""
    search = "SEARCH('{%s,Host} MetricName=\"%s\"', 'Average', 60)"
    return [[{"expression": search % (_JOBS, metric), "id": metric.lower()}] for metric in metrics]


def _graph(title: str, statistic: str, metrics: list[Any]) -> dict[str, Any]:
    return {"title": title, "stat": statistic, "metrics": metrics, "region": "${AWS::Region}", "period": 60}


def _placed(number: int, properties: dict[str, Any]) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    place = {"x": column * _WIDTH, "y": row * _HEIGHT, "width": _WIDTH, "height": _HEIGHT}
    return {"type": "metric", **place, "properties": {"view": "timeSeries", **properties}}
