"""Autoscaling of an endpoint's instances by their number of requests.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ncf.aws.names import SCALING_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.settings import EndpointSettings, is_burstable

_log = logging.getLogger(__name__)

CALLS = (
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:RegisterScalableTarget",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_SERVICE, _DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
_API = "application-autoscaling"
_METRIC = "SageMakerVariantInvocationsPerInstance"
_TAG = re.compile(r"min=(\d+) max=(\d+)(?: invocations=([\d.]+))?")
_TRACKING = "TargetTrackingScalingPolicyConfiguration"
_POLICY_FIELDS = (
    "PolicyName",
    "PolicyType",
    "StepScalingPolicyConfiguration",
    "PredictiveScalingPolicyConfiguration",
    _TRACKING,
)

Variant = Mapping[str, Any]
"""Production variant of an endpoint config."""


@dataclass(frozen=True)
class Scaling:
    """Limits and policies of a scalable target.

    Attributes:
        minimum: number of instances.
        maximum: number of instances.
        policies: each as in a request of PutScalingPolicy, without the target.
        suspended: ``SuspendedState``: scaling activities that are turned off; empty for none.
    """

    minimum: int
    maximum: int
    policies: tuple[Mapping[str, Any], ...]
    suspended: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def of_settings(cls, settings: EndpointSettings, endpoint: str) -> Scaling:
        """The scaling that the parameters of an endpoint ask for."""
        policy = _tracking(endpoint, float(settings.invocations_per_instance))
        return cls(settings.initial_instance_count, settings.max_instance_count, (policy,))

    @classmethod
    def of_tag(cls, value: str, endpoint: str) -> Scaling | None:
        """The scaling of a tag's value; None for '' and for values of others."""
        if not (match := _TAG.fullmatch(value)):
            return None
        policies = (_tracking(endpoint, float(match[3])),) if match[3] else ()
        return cls(int(match[1]), int(match[2]), policies)

    def tag(self) -> str:
        """The limits and the target of requests, as the value of a tag. It holds no other policies."""
        targets = [
            policy[_TRACKING]["TargetValue"]
            for policy in self.policies
            if policy.get(_TRACKING, {}).get("PredefinedMetricSpecification", {}).get("PredefinedMetricType") == _METRIC
        ]
        limits = f"min={self.minimum} max={self.maximum}"
        return f"{limits} invocations={targets[0]:.6f}".rstrip("0").rstrip(".") if targets else limits

    def __str__(self) -> str:
        return f"{self.minimum} to {self.maximum} instances"


class Autoscaling:
    """The scalable target of an endpoint's variant."""

    def __init__(self, aws: Aws, endpoint: str, variant: str) -> None:
        self._aws, self._endpoint = aws, endpoint
        self._resource = f"endpoint/{endpoint}/variant/{variant}"
        self._suspended: Scaling | None = None
        """Autoscaling that this process has suspended, with all of its policies."""
        self._target: dict[str, Any] = {
            "ServiceNamespace": _SERVICE,
            "ResourceId": self._resource,
            "ScalableDimension": _DIMENSION,
        }

    def find(self) -> Scaling | None:
        """The present scaling, by this project or by other means; None if there is none."""
        found = self._describe_target()
        if not found:
            return None
        pages = self._aws.pages(_API, "describe_scaling_policies", **self._target)
        policies = [
            {field: policy[field] for field in _POLICY_FIELDS if field in policy}
            for page in pages
            for policy in page["ScalingPolicies"]
        ]
        target = found[0]
        return Scaling(
            target["MinCapacity"], target["MaxCapacity"], tuple(policies), target.get("SuspendedState") or {}
        )

    def _describe_target(self) -> list[dict[str, Any]]:
        answer = self._aws.call(
            _API,
            "describe_scalable_targets",
            ServiceNamespace=_SERVICE,
            ResourceIds=[self._resource],
            ScalableDimension=_DIMENSION,
        )
        found: list[dict[str, Any]] = answer["ScalableTargets"]
        return found

    def register(self, scaling: Scaling) -> None:
        """Create or replace the scalable target and its policies."""
        request: dict[str, Any] = {"MinCapacity": scaling.minimum, "MaxCapacity": scaling.maximum}
        if scaling.suspended:
            request["SuspendedState"] = dict(scaling.suspended)
        self._aws.call(_API, "register_scalable_target", **self._target, **request)
        for policy in scaling.policies:
            self._aws.call(_API, "put_scaling_policy", **self._target, **policy)

    def suspend(self, arn: str, scaling: Scaling) -> None:
        """Deregister the present autoscaling until :meth:`resume`.

        Args:
            arn: of the endpoint. A tag notes the limits, as the process may be killed.
            scaling: present autoscaling.
        """
        if not scaling.policies:  # the process was killed while it resumed: the tag notes more
            scaling = self.suspended(arn) or scaling
        versions.tag_endpoint(self._aws, arn, scaling=scaling.tag())
        self._suspended = scaling
        self.remove()
        _log.info(
            "endpoint %s: autoscaling (%s) is deregistered for an update to another instance type",
            self._endpoint,
            scaling,
        )

    def suspended(self, arn: str) -> Scaling | None:
        """The suspended autoscaling, also of a process that was killed; None if none is."""
        return self._suspended or Scaling.of_tag(tags_of(self._aws, arn).get(SCALING_TAG, ""), self._endpoint)

    def resume(self, arn: str, variant: Variant) -> None:
        """Register the suspended autoscaling again.

        Args:
            arn: of the endpoint.
            variant: in service. Its instances cannot be scaled if they are serverless or burstable.
        """
        scaling = self.suspended(arn)
        if scaling is None:
            return
        if is_burstable(variant.get("InstanceType", "")) or "ServerlessConfig" in variant:
            _log.warning(
                "endpoint %s: autoscaling (%s) is not registered again, as its instances cannot be scaled",
                self._endpoint,
                scaling,
            )
        elif (present := self.find()) is None or not present.policies:  # it was killed between target and policy
            self.register(scaling)
            _log.info("endpoint %s: autoscaling (%s) is registered again", self._endpoint, scaling)
        self._forget(arn)

    def replace(self, arn: str, scaling: Scaling | None) -> None:
        """Register another autoscaling in place of the present or suspended one; None deregisters it."""
        if scaling:
            self.register(scaling)
        elif self.remove():
            _log.info("endpoint %s: autoscaling is deregistered, as 'max_instance_count' is 0", self._endpoint)
        if self.suspended(arn):
            self._forget(arn)

    def _forget(self, arn: str) -> None:
        self._suspended = None
        versions.tag_endpoint(self._aws, arn, scaling="")

    def remove(self) -> bool:
        """Delete the scalable target with its policies, and return whether it existed."""
        is_registered = bool(self._describe_target())
        if is_registered:
            self._aws.call(_API, "deregister_scalable_target", **self._target)
        return is_registered


def _tracking(endpoint: str, invocations: float) -> dict[str, Any]:
    """Policy for a number of requests per minute and instance."""
    return {
        "PolicyName": f"{endpoint}-invocations",
        "PolicyType": "TargetTrackingScaling",
        _TRACKING: {
            "TargetValue": invocations,
            "PredefinedMetricSpecification": {"PredefinedMetricType": _METRIC},
        },
    }
