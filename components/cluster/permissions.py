"""Least-privilege IAM roles as a CloudFormation template, made from the calls that stages and commands declare."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from components.cluster import cloudformation
from components.cluster.cloudformation import arn_output, document, is_given, only_if, role, substituted
from components.cluster.stack_parameters import MAY_BE_NONE, PARAMETERS
from ncf.aws.permissions import (
    BEHIND,
    BUCKET,
    GRANTS,
    LOGS,
    NOT_BY_NAMESPACE,
    OBJECTS,
    OWN_CHECKPOINTS,
    PASSED_ROLES,
    UNSCOPED,
    Grant,
    calls,
    repositories,
)
from ncf.stage.command import COMMANDS, load
from ncf.stage.registry import all_stages

FILE_NAME = "permissions.yaml"
STOP_JOBS = "stop-jobs"
"""The command that a CronJob runs with the pods' role."""
WATCH = "watch"
"""The command that a Deployment runs with a role of its own."""
WATCHER_ACCOUNT = "ncf-watcher"
"""Service account of that Deployment."""
_SAGEMAKER = "sagemaker.amazonaws.com"

_TRUST_OF_SERVICE_ACCOUNT = """{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"Federated": "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/${OidcProvider}"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {
      "${OidcProvider}:aud": "sts.amazonaws.com",
      "${OidcProvider}:sub": "system:serviceaccount:%s"
    }}
  }]
}
"""

# What SageMaker itself does as a role, by its documentation:
# https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
_LOG_ACTIONS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
_PULL_ACTIONS = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_VPC_CHANGES = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
_VPC_LOOKS = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)
UNSCOPED_BY_SAGEMAKER: Mapping[str, str] = {
    "cloudwatch:PutMetricData": "metrics have no ARN; bound to SageMaker's namespaces instead",
    "ecr:GetAuthorizationToken": "logs in to the registry as a whole",
    **dict.fromkeys(_VPC_LOOKS, "describes; has no resource of its own; only where InVpc is true"),
}
"""Actions of the training and the hosting role that AWS cannot bind to a resource, and why."""

NOT_BY_STACK: Mapping[str, str] = {
    "cloudwatch:DescribeAlarms": "reads; alarms of other teams may roll an update back, too",
    "s3:ListBucket": "reads names of objects; SageMaker looks at the bucket as a whole",
    **dict.fromkeys(_LOG_ACTIONS, "the log groups of training and transform jobs are those of the whole account"),
    **dict.fromkeys(_PULL_ACTIONS, "reads; the images are shared"),
    **dict.fromkeys(_VPC_CHANGES, "SageMaker gives network interfaces no tags; only where InVpc is true"),
    **UNSCOPED_BY_SAGEMAKER,
}
"""Actions of the training and the hosting role that no parameter of the template binds to its namespace, and why."""


def template() -> dict[str, Any]:
    """The CloudFormation template: roles of pods, of training and of hosting, and a policy for operators."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Least-privilege roles for NCF on Kubeflow and SageMaker",
        "Metadata": {
            "ActionsWithoutResource": {**UNSCOPED, **UNSCOPED_BY_SAGEMAKER},
            "ActionsOfPodsNotBoundByNamespace": dict(NOT_BY_NAMESPACE),
            "ActionsOfSageMakerNotBoundByNamespace": dict(NOT_BY_STACK),
        },
        "Parameters": {name: {"Type": "String", **entry} for name, entry in PARAMETERS.items()},
        "Rules": {
            "InVpcIsBool": {
                "Assertions": [
                    {
                        "Assert": {"Fn::Contains": [["true", "false"], {"Ref": "InVpc"}]},
                        "AssertDescription": "InVpc is true or false",
                    }
                ]
            }
        },
        "Conditions": {
            **{f"Has{name}": is_given(name) for name in MAY_BE_NONE},
            "HasReleaseAtOnce": {"Fn::Equals": [{"Ref": "ReleaseAtOnce"}, "true"]},
            "IsInVpc": {"Fn::Equals": [{"Ref": "InVpc"}, "true"]},
        },
        "Resources": {
            "PodRole": role(
                "Pods of the pipeline, by their service account",
                trust_of_service_account("${Namespace}:${ServiceAccount}"),
                [*_of_modules(modules_of_pods(), is_pod=True), *_pass_roles(modules_of_pods()), *_data_bucket()],
            ),
            "WatcherRole": {
                "Condition": "HasTriggerQueueArn",
                **role(
                    "The watcher of triggers, by its service account",
                    trust_of_service_account(f"${{Namespace}}:{WATCHER_ACCOUNT}"),
                    _of_modules(modules_of_watcher(), is_pod=True),
                ),
            },
            "TrainingRole": role(
                "SageMaker's training, processing and tuning jobs", _trust_of_sagemaker(), _of_training()
            ),
            "HostingRole": role("SageMaker's endpoints and transform jobs", _trust_of_sagemaker(), _of_hosting()),
            "OperatorPolicy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "For people who run the commands of ncf, such as ncf approve",
                    "PolicyDocument": document(
                        [
                            *_of_modules(modules_of_operators(), is_pod=False),
                            *_pass_roles(modules_of_operators()),
                            *_data_bucket(),
                        ]
                    ),
                },
            },
        },
        "Outputs": {
            "PodRoleArn": arn_output(
                "Annotate the pods' service account with it: eks.amazonaws.com/role-arn", "PodRole"
            ),
            "WatcherRoleArn": {
                "Condition": "HasTriggerQueueArn",
                **arn_output(
                    "Annotate the watcher's service account with it: eks.amazonaws.com/role-arn", "WatcherRole"
                ),
            },
            "TrainingRoleArn": arn_output("The pipeline's train_role", "TrainingRole"),
            "HostingRoleArn": arn_output("The pipeline's deploy_role", "HostingRole"),
            "OperatorPolicyArn": {"Description": "Attach it to operators", "Value": {"Ref": "OperatorPolicy"}},
        },
    }


def write(folder: Path) -> Path:
    """Write the template."""
    head = "# Made by `make pipeline` from the calls that ncf/ declares. Deploy it with CAPABILITY_IAM.\n"
    return cloudformation.write(folder / FILE_NAME, head, template())


def trust_of_service_account(account: str) -> dict[str, Any]:
    """The trust of pods by their service account.

    Args:
        account: ``NAMESPACE:NAME``, also with CloudFormation's ``${...}``.
    """
    trust: dict[str, Any] = substituted(_TRUST_OF_SERVICE_ACCOUNT % account)
    return trust


def modules_of_pods() -> set[str]:
    """Modules whose AWS calls pods make: those of every stage, and of the CronJob."""
    return {module for command in (*all_stages(), load(STOP_JOBS)) for module in command.calls}


def modules_of_operators() -> set[str]:
    """Modules whose AWS calls people make by the other commands."""
    return {module for name in COMMANDS if name not in (STOP_JOBS, WATCH) for module in load(name).calls}


def modules_of_watcher() -> set[str]:
    """Modules whose AWS calls the watcher of triggers makes."""
    return set(load(WATCH).calls)


def _of_modules(modules: Collection[str], is_pod: bool) -> list[dict[str, Any]]:
    """One statement for all actions that are allowed at the same places.

    An action of SageMaker concerns resources of its own kinds alone. So actions with the same condition share a
    statement, as IAM bounds the size of a policy. Actions that are allowed in two ways keep statements of their own.

    Args:
        modules: modules with calls.
        is_pod: whether the statements bind pods to their namespace.
    """
    granted = [(action, GRANTS[action]) for action in calls(modules)]
    granted += [entry for action in calls(modules) & BEHIND.keys() for entry in BEHIND[action][0].items()]
    granted += [(action, grant.also) for action, grant in granted if grant.also]
    ways = Counter(action for action, _ in granted)
    actions: dict[str, set[str]] = defaultdict(set)
    grants: dict[str, Grant] = {}
    for action, grant in sorted(granted, key=str):
        condition = grant.conditions(is_pod)
        is_shared = action.startswith("sagemaker:") and ways[action] == 1 and grant.resources != ("*",)
        key = repr(("sagemaker" if is_shared else grant.resources, condition, grant.needs))
        known = grants[key].resources if key in grants else ()
        grants[key] = Grant(tuple(dict.fromkeys((*known, *grant.resources))), condition, grant.needs)
        actions[key].add(action)
    return sorted((_statement(actions[key], grant) for key, grant in grants.items()), key=str)


def _statement(actions: Collection[str], grant: Grant) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": [substituted(resource) for resource in grant.resources],
    }
    if grant.condition:
        statement["Condition"] = {
            operator: {key: substituted(value) for key, value in entries.items()}
            for operator, entries in grant.condition.items()
        }
    return only_if(f"Has{grant.needs}", statement) if grant.needs else statement


def _pass_roles(modules: Collection[str]) -> list[dict[str, Any]]:
    """PassRole for each role that the calls of modules hand over, to SageMaker alone."""
    return [
        {
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": [substituted(f"${{{role}.Arn}}")],
            "Condition": {"StringEquals": {"iam:PassedToService": _SAGEMAKER}},
        }
        for action, role in PASSED_ROLES.items()
        if action in calls(modules)
    ]


def _data_bucket() -> list[dict[str, Any]]:
    arn, listed = "arn:${AWS::Partition}:s3:::${DataBucket}", {"StringLike": {"s3:prefix": "${DataPrefix}*"}}
    return [
        _statement(["s3:GetObject"], Grant((f"{arn}/${{DataPrefix}}*",), needs="DataBucket")),
        _statement(["s3:ListBucket"], Grant((arn,), listed, needs="DataBucket")),
    ]


def _of_training() -> list[dict[str, Any]]:
    return [
        _statement(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], Grant((OBJECTS,))),
        _statement(["s3:DeleteObject"], Grant(OWN_CHECKPOINTS)),  # SageMaker mirrors deletions in /opt/ml/checkpoints
        *_of_both("ncf-train", f"{LOGS}TrainingJobs*", "/aws/sagemaker/TrainingJobs"),
        *_logs_and_metrics(f"{LOGS}ProcessingJobs*", "/aws/sagemaker/ProcessingJobs"),
    ]


def _of_hosting() -> list[dict[str, Any]]:
    alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"
    return [
        _statement(["s3:GetObject", "s3:PutObject"], Grant((OBJECTS,))),  # the model; captured data
        _statement(["cloudwatch:DescribeAlarms"], Grant((alarms,))),
        *_of_both("ncf-deploy", f"{LOGS}Endpoints/${{EndpointPrefix}}*", "/aws/sagemaker/Endpoints"),
        *_logs_and_metrics(f"{LOGS}TransformJobs*", "/aws/sagemaker/TransformJobs"),  # batch transform
    ]


def _of_both(image: str, log_group: str, namespace: str) -> list[dict[str, Any]]:
    """What SageMaker does for jobs and endpoints alike: find objects, pull the image, write logs and metrics."""
    interfaces = Grant(("arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*/*",))
    key = Grant(("${KmsKeyArn}",), needs="KmsKeyArn")
    return [
        _statement(["s3:ListBucket"], Grant((BUCKET,))),
        _statement(_PULL_ACTIONS, Grant(repositories(image))),
        _statement(_PULL_ACTIONS, Grant(repositories("${OwnImages}*")[:1], needs="OwnImages")),
        _statement(["ecr:GetAuthorizationToken"], Grant(("*",))),
        *_logs_and_metrics(log_group, namespace),
        _statement(["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"], key),
        only_if("IsInVpc", _statement(_VPC_CHANGES, interfaces)),
        only_if("IsInVpc", _statement(_VPC_LOOKS, Grant(("*",)))),
    ]


def _logs_and_metrics(log_group: str, namespace: str) -> list[dict[str, Any]]:
    return [
        _statement(_LOG_ACTIONS, Grant((log_group, f"{log_group}:*"))),
        _statement(["cloudwatch:PutMetricData"], Grant(("*",), {"StringLike": {"cloudwatch:namespace": namespace}})),
    ]


def _trust_of_sagemaker() -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": _SAGEMAKER},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    return document([statement])
