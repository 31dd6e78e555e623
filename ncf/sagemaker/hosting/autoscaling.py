"""Autoscaling of an endpoint's instances by their number of requests.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

from typing import Any

from ncf.aws.session import Aws
from ncf.sagemaker.hosting.settings import EndpointSettings

CALLS = (
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:RegisterScalableTarget",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_SERVICE, _DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
_METRIC = "SageMakerVariantInvocationsPerInstance"


class Autoscaling:
    """The scalable target of an endpoint's variant."""

    def __init__(self, aws: Aws, endpoint: str, variant: str) -> None:
        self._aws, self._endpoint = aws, endpoint
        self._resource = f"endpoint/{endpoint}/variant/{variant}"

    def is_registered(self) -> bool:
        """Whether the variant is scaled, by this project or by other means."""
        answer = self._aws.call(
            "application-autoscaling",
            "describe_scalable_targets",
            ServiceNamespace=_SERVICE,
            ResourceIds=[self._resource],
            ScalableDimension=_DIMENSION,
        )
        return bool(answer["ScalableTargets"])

    def register(self, settings: EndpointSettings) -> None:
        """Create or replace the scalable target and its policy."""
        target: dict[str, Any] = {
            "ServiceNamespace": _SERVICE,
            "ResourceId": self._resource,
            "ScalableDimension": _DIMENSION,
        }
        call = self._aws.call
        call(
            "application-autoscaling",
            "register_scalable_target",
            **target,
            MinCapacity=settings.initial_instance_count,
            MaxCapacity=settings.max_instance_count,
        )
        call(
            "application-autoscaling",
            "put_scaling_policy",
            **target,
            PolicyName=f"{self._endpoint}-invocations",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": float(settings.invocations_per_instance),
                "PredefinedMetricSpecification": {"PredefinedMetricType": _METRIC},
            },
        )

    def remove(self) -> None:
        """Delete the scalable target, if it exists."""
        if self.is_registered():
            self._aws.call(
                "application-autoscaling",
                "deregister_scalable_target",
                ServiceNamespace=_SERVICE,
                ResourceId=self._resource,
                ScalableDimension=_DIMENSION,
            )
