"""IAM permissions of the stages and commands, generated from the AWS calls that each module declares.

Actions, resources and conditions are named as in AWS's service authorization reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module

UNSCOPED: Mapping[str, str] = {
    "application-autoscaling:DescribeScalableTargets": "lists; has no resource of its own",
    "application-autoscaling:DescribeScalingPolicies": "lists; has no resource of its own",
    "pricing:GetProducts": "AWS's public price list",
    "sagemaker:ListEndpointConfigs": "lists; has no resource of its own",
    "sagemaker:ListTrainingJobs": "lists; has no resource of its own",
    "servicequotas:ListServiceQuotas": "lists; has no resource of its own",
    "tag:GetResources": "finds by tag, over all kinds of resources",
}
"""Actions that AWS cannot bind to a resource, and why."""

FREE = frozenset({"sts:GetCallerIdentity"})
"""Actions that need no permission."""

_JOB = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:training-job/ncf-train-*"
_MODEL, _CONFIG, _ENDPOINT = (
    f"arn:${{AWS::Partition}}:sagemaker:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/${{EndpointPrefix}}*"
    for kind in ("model", "endpoint-config", "endpoint")
)
LOGS = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/sagemaker/"
_JOB_LOGS, _ENDPOINT_LOGS = f"{LOGS}TrainingJobs:*", f"{LOGS}Endpoints/${{EndpointPrefix}}*:*"
_ALARM = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
_TARGET = "arn:${AWS::Partition}:application-autoscaling:${AWS::Region}:${AWS::AccountId}:scalable-target/*"
BUCKET, OBJECTS = "arn:${AWS::Partition}:s3:::${Bucket}", "arn:${AWS::Partition}:s3:::${Bucket}/${Prefix}*"
REPOSITORY = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/"
_OF_SAGEMAKER = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}


@dataclass(frozen=True)
class Grant:
    """Resources on which an action is allowed.

    Attributes:
        resources: ARNs with CloudFormation's ``${...}``.
        condition: as in a policy.
        needs: parameter of the template without which nothing is allowed; '' for none.
    """

    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, str]] | None = None
    needs: str = ""


GRANTS: Mapping[str, Grant] = {
    "application-autoscaling:DeregisterScalableTarget": Grant((_TARGET,), _OF_SAGEMAKER),
    "application-autoscaling:PutScalingPolicy": Grant((_TARGET,), _OF_SAGEMAKER),
    "application-autoscaling:RegisterScalableTarget": Grant((_TARGET,), _OF_SAGEMAKER),
    "cloudwatch:DeleteAlarms": Grant((f"{_ALARM}${{EndpointPrefix}}*",)),
    "cloudwatch:DescribeAlarms": Grant((f"{_ALARM}*",)),
    "cloudwatch:PutMetricAlarm": Grant((f"{_ALARM}${{EndpointPrefix}}*",)),
    "cloudwatch:TagResource": Grant((f"{_ALARM}${{EndpointPrefix}}*",)),
    "ecr:DescribeImages": Grant((f"{REPOSITORY}ncf-*",)),
    "iam:GetRole": Grant(("${TrainingRole.Arn}", "${HostingRole.Arn}")),
    "logs:DescribeLogStreams": Grant((_JOB_LOGS, _ENDPOINT_LOGS)),
    "logs:GetLogEvents": Grant((_JOB_LOGS, _ENDPOINT_LOGS)),
    "s3:AbortMultipartUpload": Grant((OBJECTS,)),
    "s3:DeleteObject": Grant((OBJECTS,)),
    "s3:GetObject": Grant((OBJECTS,)),
    "s3:ListBucket": Grant((BUCKET,)),
    "s3:PutObject": Grant((OBJECTS,)),
    "sagemaker:AddTags": Grant((_JOB, _MODEL, _CONFIG, _ENDPOINT)),
    "sagemaker:CreateEndpoint": Grant((_CONFIG, _ENDPOINT)),
    "sagemaker:CreateEndpointConfig": Grant((_MODEL, _CONFIG)),
    "sagemaker:CreateModel": Grant((_MODEL,)),
    "sagemaker:CreateTrainingJob": Grant((_JOB,)),
    "sagemaker:DeleteEndpoint": Grant((_ENDPOINT,)),
    "sagemaker:DeleteEndpointConfig": Grant((_CONFIG,)),
    "sagemaker:DeleteModel": Grant((_MODEL,)),
    "sagemaker:DeleteTags": Grant((_JOB,)),
    "sagemaker:DescribeEndpoint": Grant((_ENDPOINT,)),
    "sagemaker:DescribeEndpointConfig": Grant((_CONFIG,)),
    "sagemaker:DescribeModel": Grant((_MODEL,)),
    "sagemaker:DescribeTrainingJob": Grant((_JOB,)),
    "sagemaker:InvokeEndpoint": Grant((_ENDPOINT,)),
    "sagemaker:ListTags": Grant((_JOB, _MODEL, _CONFIG, _ENDPOINT)),
    "sagemaker:StopTrainingJob": Grant((_JOB,)),
    "sagemaker:UpdateEndpoint": Grant((_CONFIG, _ENDPOINT)),
    "sts:AssumeRole": Grant(("${AssumedRoleArn}",), needs="AssumedRoleArn"),
    "sns:Publish": Grant(("${NotifyTopicArn}",), needs="NotifyTopicArn"),
    **{action: Grant(("*",)) for action in UNSCOPED},
}
"""Action -> its resources. Prefixes of names identify them: ``ncf-train-`` for jobs, the endpoint's for the others."""

BEHIND: Mapping[str, tuple[Mapping[str, Grant], str]] = {
    "application-autoscaling:RegisterScalableTarget": (
        {
            "cloudwatch:DescribeAlarms": Grant((f"{_ALARM}*",)),
            "cloudwatch:PutMetricAlarm": Grant((f"{_ALARM}TargetTracking-endpoint/${{EndpointPrefix}}*",)),
            "cloudwatch:DeleteAlarms": Grant((f"{_ALARM}TargetTracking-endpoint/${{EndpointPrefix}}*",)),
            "sagemaker:DescribeEndpointConfig": Grant((_CONFIG,)),
            "sagemaker:UpdateEndpointWeightsAndCapacities": Grant((_ENDPOINT,)),
        },
        "required of the caller, as autoscaling manages alarms and instances with the caller's permissions: "
        "https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_id-based-policy-examples.html",
    ),
    "s3:GetObject": (
        {action: Grant(("${KmsKeyArn}",), needs="KmsKeyArn") for action in ("kms:Decrypt", "kms:GenerateDataKey")},
        "required of the caller for objects that are encrypted with the key: "
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html",
    ),
    "sagemaker:CreateEndpointConfig": (
        {action: Grant(("${KmsKeyArn}",), needs="KmsKeyArn") for action in ("kms:CreateGrant", "kms:DescribeKey")},
        "required of the caller for instances whose storage is encrypted with the key: "
        "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html",
    ),
}
"""Action -> further actions that AWS requires of its caller, and the reason."""

PASSED_ROLES: Mapping[str, str] = {
    "sagemaker:CreateTrainingJob": "TrainingRole",
    "sagemaker:CreateModel": "HostingRole",
}
"""Call -> the role that it passes to SageMaker, for which ``iam:PassRole`` is required."""


def calls(modules: Iterable[str]) -> set[str]:
    """The actions that modules declare in their ``CALLS``."""
    return {action for module in modules for action in import_module(module).CALLS} - FREE
