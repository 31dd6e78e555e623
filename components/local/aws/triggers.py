"""What triggers need in an account of the stand-in: the stack of their template, and events of buckets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from components.local.aws.services import Services
from ncf.errors import InputError

_STACK = "ncf-triggers"
_KNOWN = ("AWS::SQS::Queue", "AWS::Events::Rule")
"""Resources that moto's CloudFormation makes. There is no IAM here, and schedules do not fire."""


def deploy(services: Services, template: Mapping[str, Any], buckets: Iterable[str]) -> dict[str, str]:
    """Deploy the template, and let buckets send their events to EventBridge. Earlier messages are kept.

    Args:
        services: clients of the account.
        template: CloudFormation template of triggers.
        buckets: whose events start runs.

    Returns:
        Outputs of the stack.

    Raises:
        InputError: if a bucket does not exist.
    """
    s3, formation = services.s3, services.client("cloudformation")
    for bucket in buckets:
        try:
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
        except s3.exceptions.ClientError as error:
            raise InputError(f"rules: the bucket '{bucket}' cannot send events: {error}") from None
    resources = {name: entry for name, entry in template["Resources"].items() if entry["Type"] in _KNOWN}
    body = json.dumps({**template, "Resources": resources})
    stacks = {stack["StackName"] for stack in formation.list_stacks()["StackSummaries"]}
    (formation.update_stack if _STACK in stacks else formation.create_stack)(StackName=_STACK, TemplateBody=body)
    (stack,) = formation.describe_stacks(StackName=_STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
