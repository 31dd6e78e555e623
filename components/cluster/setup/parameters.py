"""Parameters of the set-up stack, beside those of the roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BOOL = {"AllowedPattern": "true|false", "ConstraintDescription": "true or false"}

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "EndpointName": {
        "Description": "Endpoint that alarms watch: the parameter deploy_endpoint_name; none for no alarms",
        "Default": "",
    },
    "EndpointCores": {
        "Description": "vCPUs of an instance of the endpoint, such as 2 of an ml.m5.large",
        "Type": "Number",
        "Default": 2,
        "MinValue": 1,
    },
    "MaxLatency": {
        "Description": "99th percentile of the model's latency above which an alarm fires, in milliseconds",
        "Type": "Number",
        "Default": 200,
        "MinValue": 1,
    },
    "ExpectsTraffic": {
        "Description": "Whether an hour without requests of the endpoint fires an alarm: true or false",
        "Default": "false",
        **_BOOL,
    },
    "MonthlyBudget": {
        "Description": "Costs of SageMaker in a month that are expected, in USD; none for no budget",
        "Default": "",
        "AllowedPattern": r"(\d+(\.\d+)?)?",
        "ConstraintDescription": "a number such as 500, or none",
    },
    "Email": {"Description": "Address that receives alarms and notifications of runs; none if none", "Default": ""},
    "UiServiceAccount": {
        "Description": "Service account of KFP's UI, as NAMESPACE:NAME",
        "Default": "kubeflow:ml-pipeline-ui",
        "AllowedPattern": "[a-z0-9-]+:[a-z0-9-]+",
        "ConstraintDescription": "NAMESPACE:NAME",
    },
    "CaptureDays": {
        "Description": "Days to keep recorded requests and answers, in the folder captures of Prefix",
        "Type": "Number",
        "Default": 30,
        "MinValue": 1,
    },
    "LogDays": {
        "Description": "Days to keep logs",
        "Type": "Number",
        "Default": 90,
        "AllowedValues": [7, 14, 30, 60, 90, 180, 365],
    },
    "MakesShared": {
        "Description": "Whether the stack makes repositories and log groups; false if the account has them already",
        "Default": "true",
        **_BOOL,
    },
    "GitHubRepository": {
        "Description": "Repository of GitHub whose workflows push images, as OWNER/NAME; none for no such role",
        "Default": "",
        "AllowedPattern": r"([\w.-]+/[\w.-]+)?",
        "ConstraintDescription": "OWNER/NAME, or none",
    },
    "GitHubSubject": {
        "Description": "Environment or branch of its workflows: environment:NAME or ref:refs/heads/BRANCH",
        "Default": "environment:ncf",
        "AllowedPattern": r"environment:[^*?]+|ref:refs/heads/[^*?]+",
        "ConstraintDescription": "environment:NAME or ref:refs/heads/BRANCH, without wildcards",
    },
}

MAY_BE_NONE = ("EndpointName", "MonthlyBudget", "Email", "GitHubRepository")
"""Parameters whose value may be empty."""
SWITCHES = ("ExpectsTraffic", "MakesShared")
"""Parameters that are true or false."""
