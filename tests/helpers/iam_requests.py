"""What IAM decides on for each call to AWS: actions, the resources that they concern, and condition keys.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from iam import ACCOUNT

Call = Mapping[str, Any]
Keys = dict[str, Any]

OWNER = f"{ACCOUNT['AWS::Region']}:{ACCOUNT['AWS::AccountId']}"
NAMED = {
    "TrainingJobName": "training-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "ModelPackageGroupName": "model-package-group",
}
"""Parameters of SageMaker's calls, and the resources that they name. That of a new resource comes first."""
PREFIXES = {
    "sagemaker-runtime": "sagemaker",
    "resourcegroupstaggingapi": "tag",
    "service-quotas": "servicequotas",
}
"""Services whose actions begin with another name."""
S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
SCALING = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"


class Asked(NamedTuple):
    """One decision of IAM, without the tags of the resource."""

    action: str
    resource: str
    keys: Keys


def asked(service: str, operation: str, call: Call) -> Iterator[Asked]:
    """The decisions for a call.

    Args:
        service: as of boto3.
        operation: of its API.
        call: parameters.
    """
    prefix = PREFIXES.get(service, service)
    yield from OF_SERVICES.get(prefix, _unscoped)(f"{prefix}:{operation}", call)


def _unscoped(action: str, _: Call) -> Iterator[Asked]:
    yield Asked(action, "*", {})


def _tagged(call: Call) -> Keys:
    """Condition keys of the tags of a request."""
    given = {tag["Key"]: tag["Value"] for tag in call.get("Tags", [])}
    names = [*given, *call.get("TagKeys", [])]
    return {
        **{f"aws:RequestTag/{key}": value for key, value in given.items()},
        **({"aws:TagKeys": names} if names else {}),
    }


def _of_sagemaker(action: str, call: Call) -> Iterator[Asked]:
    variants = call.get("ProductionVariants", [])
    names = [(kind, source[key]) for source in (call, *variants) for key, kind in NAMED.items() if key in source]
    arns = [f"arn:aws:sagemaker:{OWNER}:{kind}/{name.lower()}" for kind, name in names]
    arns += filter(None, [call.get("ResourceArn"), call.get("ModelPackageName"), call.get("ModelPackageArn")])
    status = call.get("ModelApprovalStatus")
    keys = {**_tagged(call), **({"sagemaker:ModelApprovalStatus": status} if status else {})}
    for arn in ["*"] if action == "sagemaker:ListModelPackages" else arns or ["*"]:
        yield Asked(action, arn, keys)
    if "Create" in action and call.get("Tags"):
        yield Asked("sagemaker:AddTags", arns[0], _tagged(call))
    for role in filter(None, [call.get("RoleArn"), call.get("ExecutionRoleArn")]):
        yield Asked("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _of_s3(action: str, call: Call) -> Iterator[Asked]:
    name = action.removeprefix("s3:")
    key, keys = (f"/{call['Key']}", {}) if "Key" in call else ("", {})
    if name == "ListObjectsV2":
        keys = {"s3:prefix": call.get("Prefix", "")}
    yield Asked(f"s3:{S3_ACTIONS.get(name, name)}", f"arn:aws:s3:::{call['Bucket']}{key}", keys)


def _of_logs(action: str, call: Call) -> Iterator[Asked]:
    group = f"arn:aws:logs:{OWNER}:log-group:{call['logGroupName']}"
    yield Asked(action, f"{group}:log-stream:{call.get('logStreamName', '')}", {})


def _of_cloudwatch(action: str, call: Call) -> Iterator[Asked]:
    alarms = f"arn:aws:cloudwatch:{OWNER}:alarm:"
    if action == "cloudwatch:GetMetricData":
        yield from _unscoped(action, call)
        return
    if action == "cloudwatch:DescribeAlarms":
        yield Asked(action, f"{alarms}*", {})
        return
    for name in call.get("AlarmNames", [call.get("AlarmName")]):
        yield Asked(action, f"{alarms}{name}", _tagged(call))
        if call.get("Tags"):
            yield Asked("cloudwatch:TagResource", f"{alarms}{name}", _tagged(call))


def _of_autoscaling(action: str, call: Call) -> Iterator[Asked]:
    """The call, and what autoscaling does with the permissions of its caller."""
    if "Describe" in action:
        yield Asked(action, "*", {})
        return
    keys = {"application-autoscaling:service-namespace": call["ServiceNamespace"]}
    target = f"arn:aws:application-autoscaling:{OWNER}:scalable-target/1234abcd56ab78cd901ef1234567890ab123"
    yield Asked(action, target, keys)
    endpoint = call["ResourceId"].split("/")[1]
    alarm = f"arn:aws:cloudwatch:{OWNER}:alarm:TargetTracking-{call['ResourceId']}-AlarmHigh-0123"
    if action.endswith("RegisterScalableTarget") and "Deregister" not in action:
        arn = f"arn:aws:iam::{ACCOUNT['AWS::AccountId']}:role/aws-service-role/{SCALING_SERVICE}/{SCALING}"
        yield Asked("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": SCALING_SERVICE})
        for name in ("DescribeEndpoint", "UpdateEndpointWeightsAndCapacities"):
            yield Asked(f"sagemaker:{name}", f"arn:aws:sagemaker:{OWNER}:endpoint/{endpoint}", {})
    elif action.endswith("PutScalingPolicy"):
        yield Asked("cloudwatch:PutMetricAlarm", alarm, {})
        yield Asked("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{OWNER}:alarm:*", {})
    else:
        yield Asked("cloudwatch:DeleteAlarms", alarm, {})


def _of_events(action: str, call: Call) -> Iterator[Asked]:
    bus = f"arn:aws:events:{OWNER}:event-bus/default"
    for entry in call["Entries"]:
        yield Asked(action, bus, {"events:source": entry["Source"], "events:detail-type": entry["DetailType"]})


def _of_sns(action: str, call: Call) -> Iterator[Asked]:
    yield Asked(action, call["TopicArn"], {})


def _of_sts(action: str, call: Call) -> Iterator[Asked]:
    if "RoleArn" in call:  # GetCallerIdentity needs no permission
        yield Asked(action, call["RoleArn"], {})


def _of_ecr(action: str, call: Call) -> Iterator[Asked]:
    region = ACCOUNT["AWS::Region"]
    yield Asked(action, f"arn:aws:ecr:{region}:{call['registryId']}:repository/{call['repositoryName']}", {})


def _of_iam(action: str, call: Call) -> Iterator[Asked]:
    yield Asked(action, f"arn:aws:iam::{ACCOUNT['AWS::AccountId']}:role/{call['RoleName']}", {})


OF_SERVICES: Mapping[str, Callable[[str, Call], Iterator[Asked]]] = {
    "application-autoscaling": _of_autoscaling,
    "cloudwatch": _of_cloudwatch,
    "ecr": _of_ecr,
    "events": _of_events,
    "iam": _of_iam,
    "logs": _of_logs,
    "s3": _of_s3,
    "sagemaker": _of_sagemaker,
    "sns": _of_sns,
    "sts": _of_sts,
}
