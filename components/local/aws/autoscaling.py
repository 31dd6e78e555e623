"""SageMaker's rules of application autoscaling. moto stores the scalable targets and their policies.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.services import Services

REGISTRATION = "AnyScaleFrontendService.RegisterScalableTarget"
"""Target header of the operation that registers a scalable target."""
DEREGISTRATION = "AnyScaleFrontendService.DeregisterScalableTarget"
"""Target header of the operation that deregisters a scalable target."""
_NAMESPACE, _DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_BURSTABLE = re.compile(r"ml\.t\d")


def check_registration(request: Mapping[str, Any], variant_of: Callable[[str], Mapping[str, Any] | None]) -> None:
    """Check a request that registers a scalable target.

    Args:
        request: of RegisterScalableTarget.
        variant_of: function that returns the variant in service of an endpoint, or None.

    Raises:
        ApiError: if the variant does not exist or cannot be scaled.
    """
    if request.get("ServiceNamespace") != _NAMESPACE or request.get("ScalableDimension") != _DIMENSION:
        return
    resource = request["ResourceId"]
    match = _RESOURCE.fullmatch(resource)
    try:
        variant = variant_of(match[1]) if match else None
    except ApiError:
        variant = None
    if match is None or variant is None or variant["VariantName"] != match[2]:
        raise invalid(f"SageMaker endpoint variant does not exist: {resource}")
    if "ServerlessConfig" in variant or _BURSTABLE.match(variant["InstanceType"]):
        kind = variant.get("InstanceType", "a serverless variant")
        raise invalid(f"Autoscaling is not supported for {kind}: {resource}")


class ScalableTargets:
    """Scalable targets of endpoints.

    Args:
        services: client of application autoscaling.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def check_update(self, endpoint: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Check that an update keeps the instance type of a scalable target.

        Args:
            endpoint: name of the endpoint.
            before: variant in service.
            after: variant of the new endpoint config.

        Raises:
            ApiError: if it does not.
        """
        if before.get("InstanceType") != after.get("InstanceType") and (target := self._find(endpoint, before)):
            raise invalid(
                f"The instance type of variant {before['VariantName']} cannot be updated because of the following "
                f"scalable target registered: deregister {target} in Application Auto Scaling, and retry."
            )

    def remove(self, endpoint: str, variant: Mapping[str, Any]) -> None:
        """Deregister the target of a deleted endpoint's variant, if there is one."""
        if target := self._find(endpoint, variant):
            self._services.autoscaling.deregister_scalable_target(
                ServiceNamespace=_NAMESPACE, ResourceId=target, ScalableDimension=_DIMENSION
            )

    def delete_policies(self, request: Mapping[str, Any]) -> None:
        """Delete the policies of a target that is being deregistered, which moto keeps.

        Args:
            request: of DeregisterScalableTarget.
        """
        target = {name: request[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
        for policy in self._services.autoscaling.describe_scaling_policies(**target)["ScalingPolicies"]:
            self._services.autoscaling.delete_scaling_policy(**target, PolicyName=policy["PolicyName"])

    def _find(self, endpoint: str, variant: Mapping[str, Any]) -> str:
        resource = f"endpoint/{endpoint}/variant/{variant['VariantName']}"
        found = self._services.autoscaling.describe_scalable_targets(
            ServiceNamespace=_NAMESPACE, ResourceIds=[resource], ScalableDimension=_DIMENSION
        )
        return resource if found["ScalableTargets"] else ""
