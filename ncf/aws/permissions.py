"""IAM permissions of the stages and commands, generated from the AWS calls that each module declares.

Actions, resources and conditions are named as in AWS's service authorization reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ncf.aws.names import BREACH, MONITOR_SOURCE, NAMESPACE_TAG

Condition = Mapping[str, Mapping[str, Any]]
"""Condition of a policy: operator -> key -> value or values, with CloudFormation's ``${...}``."""

UNSCOPED: Mapping[str, str] = {
    "application-autoscaling:DescribeScalableTargets": "lists; has no resource of its own",
    "application-autoscaling:DescribeScalingPolicies": "lists; has no resource of its own",
    "cloudwatch:GetMetricData": "reads; metrics have no ARN",
    "pricing:GetProducts": "AWS's public price list",
    "sagemaker:ListEndpointConfigs": "lists; has no resource of its own",
    "sagemaker:ListModelPackageGroups": "lists; has no resource of its own",
    "sagemaker:ListModelPackages": "lists; has no resource of its own",
    "sagemaker:ListHyperParameterTuningJobs": "lists; has no resource of its own",
    "sagemaker:ListProcessingJobs": "lists; has no resource of its own",
    "sagemaker:ListTrainingJobs": "lists; has no resource of its own",
    "sagemaker:ListTransformJobs": "lists; has no resource of its own",
    "servicequotas:ListServiceQuotas": "lists; has no resource of its own",
    "tag:GetResources": "finds by tag, over all kinds of resources",
}
"""Actions that AWS cannot bind to a resource, and why."""

FREE = frozenset({"sts:GetCallerIdentity"})
"""Actions that need no permission."""

_JOB = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:*/${JobPrefix}-*"
"""Jobs of all kinds, and the models that transform jobs use. An action concerns resources of its own kind alone."""
_MODEL, _CONFIG, _ENDPOINT = (
    f"arn:${{AWS::Partition}}:sagemaker:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/${{EndpointPrefix}}*"
    for kind in ("model", "endpoint-config", "endpoint")
)
_GROUP, _PACKAGE = (
    f"arn:${{AWS::Partition}}:sagemaker:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/${{RegistryPrefix}}*"
    for kind in ("model-package-group", "model-package")
)
LOGS = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/sagemaker/"
_JOB_GROUPS, _JOB_STREAMS, _ENDPOINT_LOGS = (
    f"{LOGS}*Jobs:*",
    f"{LOGS}*Jobs:log-stream:${{JobPrefix}}-*",
    f"{LOGS}Endpoints/${{EndpointPrefix}}*:*",
)
_ALARM = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
_EVENT_BUS = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
_TARGET = "arn:${AWS::Partition}:application-autoscaling:${AWS::Region}:${AWS::AccountId}:scalable-target/*"
BUCKET, OBJECTS = "arn:${AWS::Partition}:s3:::${Bucket}", "arn:${AWS::Partition}:s3:::${Bucket}/${Prefix}*"
_REPOSITORY = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/"
OWN_CHECKPOINTS = f"{BUCKET}/${{Prefix}}${{JobPrefix}}-*", f"{OBJECTS}/${{JobPrefix}}-*"
"""Objects in folders with the name of a training job."""
_OF_SAGEMAKER = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
_SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
_SCALING_ROLE = (
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/aws-service-role/{_SCALING_SERVICE}/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)

_APPROVAL = "sagemaker:ModelApprovalStatus"
"""Condition key: the approval status in a request."""
_RESOURCE_TAG, _REQUEST_TAG = f"aws:ResourceTag/{NAMESPACE_TAG}", f"aws:RequestTag/{NAMESPACE_TAG}"
_OTHER_TAGS = {"ForAllValues:StringNotEquals": {"aws:TagKeys": [NAMESPACE_TAG]}}
_OWN: Condition = {"StringEquals": {_RESOURCE_TAG: "${Namespace}"}}
_OWN_OR_MISSING: Condition = {"StringEqualsIfExists": {_RESOURCE_TAG: "${Namespace}"}}
"""For calls that find out whether a resource exists: a missing one has no tags, and must not look like a denied one."""
_CREATED: Condition = {"StringEquals": {_REQUEST_TAG: "${Namespace}"}, **_OWN_OR_MISSING}

_NOT_APPROVED: Condition = {"StringEquals": {_APPROVAL: ["PendingManualApproval", "Rejected"]}, **_OWN_OR_MISSING}
_APPROVED: Condition = {"StringEquals": {_APPROVAL: "Approved"}, **_OWN_OR_MISSING}

NOT_BY_NAMESPACE: Mapping[str, str] = {
    "application-autoscaling:DeregisterScalableTarget": "scalable targets are not tagged; bound to those of SageMaker",
    "application-autoscaling:PutScalingPolicy": "scalable targets are not tagged; bound to those of SageMaker",
    "application-autoscaling:RegisterScalableTarget": "bound by UpdateEndpointWeightsAndCapacities, required too",
    "cloudwatch:DeleteAlarms TargetTracking-*": "autoscaling gives its alarms no tags; bound by EndpointPrefix",
    "cloudwatch:DescribeAlarms": "alarms of other teams may roll an update back, too",
    "cloudwatch:PutMetricAlarm TargetTracking-*": "autoscaling gives its alarms no tags; bound by EndpointPrefix",
    "ecr:DescribeImages": "reads; the images are shared",
    "events:PutEvents": "the default event bus is that of the whole account; bound to the source and type of the event",
    "iam:CreateServiceLinkedRole": "the role of autoscaling is that of the whole account",
    "logs:DescribeLogStreams": "the log group of training jobs is that of the whole account",
    "logs:GetLogEvents": "log streams have no tags of their own; bound by prefix",
    "sagemaker:DescribeModelPackage": "versions of a group have no tags; bound by RegistryPrefix",
    "s3:*": "objects have no tags of this project; bound by the parameters Bucket and Prefix",
    **dict.fromkeys(UNSCOPED, "has no resource"),
}
"""Actions of pods that no tag binds to their namespace, some with the names of the resources, and why."""


def repositories(image: str) -> tuple[str, str]:
    """ARNs of an image's repository in ECR: of this name, in a folder of the registry or in none.

    Args:
        image: name of the image, without the folder.
    """
    return f"{_REPOSITORY}{image}", f"{_REPOSITORY}*/{image}"


@dataclass(frozen=True)
class Grant:
    """Resources on which an action is allowed.

    Attributes:
        resources: ARNs with CloudFormation's ``${...}``.
        condition: as in a policy.
        needs: parameter of the template without which nothing is allowed; '' for none.
        of_pods: further condition for pods, which binds them to their namespace.
        also: grant of the same action on other resources, or with another condition.
    """

    resources: tuple[str, ...]
    condition: Condition | None = None
    needs: str = ""
    of_pods: Condition | None = None
    also: Grant | None = None

    def conditions(self, is_pod: bool) -> Condition:
        """The condition for pods, or for operators."""
        return {**(self.condition or {}), **((self.of_pods or {}) if is_pod else {})}


GRANTS: Mapping[str, Grant] = {
    "application-autoscaling:DeregisterScalableTarget": Grant((_TARGET,), _OF_SAGEMAKER),
    "application-autoscaling:PutScalingPolicy": Grant((_TARGET,), _OF_SAGEMAKER),
    "application-autoscaling:RegisterScalableTarget": Grant((_TARGET,), _OF_SAGEMAKER),
    "cloudwatch:DeleteAlarms": Grant((f"{_ALARM}${{EndpointPrefix}}*",), of_pods=_OWN_OR_MISSING),
    "cloudwatch:DescribeAlarms": Grant((f"{_ALARM}*",)),
    "cloudwatch:PutMetricAlarm": Grant((f"{_ALARM}${{EndpointPrefix}}*",), of_pods=_CREATED),
    "cloudwatch:TagResource": Grant((f"{_ALARM}${{EndpointPrefix}}*",), of_pods=_CREATED),
    "ecr:BatchGetImage": Grant(repositories("ncf-*")),
    "ecr:DescribeImages": Grant(
        repositories("ncf-*"), also=Grant(repositories("${OwnImages}*")[:1], needs="OwnImages")
    ),
    "ecr:GetDownloadUrlForLayer": Grant(repositories("ncf-*")),
    "events:PutEvents": Grant(
        (_EVENT_BUS,), {"StringEquals": {"events:source": MONITOR_SOURCE, "events:detail-type": BREACH}}
    ),
    "iam:GetRole": Grant(("${TrainingRole.Arn}", "${HostingRole.Arn}")),
    "logs:DescribeLogStreams": Grant((_JOB_GROUPS, _ENDPOINT_LOGS)),
    "logs:GetLogEvents": Grant((_JOB_STREAMS, _ENDPOINT_LOGS)),
    "s3:AbortMultipartUpload": Grant((OBJECTS,)),
    "s3:DeleteObject": Grant((OBJECTS,)),
    "s3:GetObject": Grant((OBJECTS,)),
    "s3:ListBucket": Grant((BUCKET,), of_pods={"StringLike": {"s3:prefix": "${Prefix}*"}}),
    "s3:PutObject": Grant((OBJECTS,)),
    "sagemaker:AddTags": Grant(
        (_JOB, _MODEL, _CONFIG, _ENDPOINT, _GROUP),
        of_pods=_CREATED,
        also=Grant((_JOB, _MODEL, _CONFIG, _ENDPOINT), of_pods={**_OWN_OR_MISSING, **_OTHER_TAGS}),
    ),
    "sagemaker:CreateEndpoint": Grant((_CONFIG, _ENDPOINT), of_pods=_CREATED),
    "sagemaker:CreateEndpointConfig": Grant((_MODEL, _CONFIG), of_pods=_CREATED),
    "sagemaker:CreateModel": Grant((_MODEL, _JOB), of_pods=_CREATED),
    "sagemaker:CreateModelPackage": Grant(
        (_GROUP, _PACKAGE),
        of_pods=_NOT_APPROVED,
        also=Grant((_GROUP, _PACKAGE), of_pods=_APPROVED, needs="ReleaseAtOnce"),
    ),
    "sagemaker:CreateModelPackageGroup": Grant((_GROUP,), of_pods=_CREATED),
    "sagemaker:CreateHyperParameterTuningJob": Grant((_JOB,), of_pods=_CREATED),
    "sagemaker:CreateProcessingJob": Grant((_JOB,), of_pods=_CREATED),
    "sagemaker:CreateTrainingJob": Grant((_JOB,), of_pods=_CREATED),
    "sagemaker:CreateTransformJob": Grant((_JOB,), of_pods=_CREATED),
    "sagemaker:DeleteEndpoint": Grant((_ENDPOINT,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DeleteEndpointConfig": Grant((_CONFIG,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DeleteModel": Grant((_MODEL, _JOB), of_pods=_OWN_OR_MISSING),
    "sagemaker:DeleteTags": Grant((_JOB,), of_pods={**_OWN, **_OTHER_TAGS}),
    "sagemaker:DescribeEndpoint": Grant((_ENDPOINT,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeEndpointConfig": Grant((_CONFIG,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeModel": Grant((_MODEL,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeModelPackage": Grant((_PACKAGE,)),
    "sagemaker:DescribeModelPackageGroup": Grant((_GROUP,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeHyperParameterTuningJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeProcessingJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeTrainingJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:DescribeTransformJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:InvokeEndpoint": Grant((_ENDPOINT,), of_pods=_OWN),
    "sagemaker:ListTags": Grant((_JOB, _MODEL, _CONFIG, _ENDPOINT), of_pods=_OWN_OR_MISSING),
    "sagemaker:ListTrainingJobsForHyperParameterTuningJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:StopHyperParameterTuningJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:StopProcessingJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:StopTrainingJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:StopTransformJob": Grant((_JOB,), of_pods=_OWN_OR_MISSING),
    "sagemaker:UpdateEndpoint": Grant((_ENDPOINT,), of_pods=_OWN, also=Grant((_CONFIG,), of_pods=_OWN_OR_MISSING)),
    "sagemaker:UpdateModelPackage": Grant((_PACKAGE,)),
    "sqs:ChangeMessageVisibility": Grant(("${TriggerQueueArn}",)),
    "sqs:DeleteMessage": Grant(("${TriggerQueueArn}",)),
    "sqs:ReceiveMessage": Grant(("${TriggerQueueArn}",)),
    "sqs:SendMessage": Grant(("${TriggerDeadLetterQueueArn}",), needs="TriggerDeadLetterQueueArn"),
    "sts:AssumeRole": Grant(("${AssumedRoleArn}",), needs="AssumedRoleArn"),
    "sns:Publish": Grant(("${NotifyTopicArn}",), needs="NotifyTopicArn"),
    **{action: Grant(("*",)) for action in UNSCOPED},
}
"""Action -> its resources. Prefixes of names identify them: of jobs, of model package groups, and of endpoints for the
others."""

BEHIND: Mapping[str, tuple[Mapping[str, Grant], str]] = {
    "application-autoscaling:RegisterScalableTarget": (
        {
            "iam:CreateServiceLinkedRole": Grant(
                (_SCALING_ROLE,), {"StringEquals": {"iam:AWSServiceName": _SCALING_SERVICE}}
            ),
            "cloudwatch:DescribeAlarms": Grant((f"{_ALARM}*",)),
            "cloudwatch:PutMetricAlarm": Grant((f"{_ALARM}TargetTracking-endpoint/${{EndpointPrefix}}*",)),
            "cloudwatch:DeleteAlarms": Grant((f"{_ALARM}TargetTracking-endpoint/${{EndpointPrefix}}*",)),
            "sagemaker:DescribeEndpointConfig": Grant((_CONFIG,), of_pods=_OWN_OR_MISSING),
            "sagemaker:UpdateEndpointWeightsAndCapacities": Grant((_ENDPOINT,), of_pods=_OWN),
        },
        "required of the caller, as autoscaling manages alarms and instances with the caller's permissions, and makes "
        "its role at its first use in an account: "
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
    "sagemaker:CreateTrainingJob": "TrainingRole",  # of processing and tuning jobs, too
    "sagemaker:CreateModel": "HostingRole",
}
"""Call -> the role that it passes to SageMaker, for which ``iam:PassRole`` is required."""


def calls(modules: Iterable[str]) -> set[str]:
    """The actions that modules declare in their ``CALLS``."""
    return {action for module in modules for action in import_module(module).CALLS} - FREE
