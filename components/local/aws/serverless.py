"""SageMaker's rules of serverless endpoints.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.local.aws.errors import invalid
from components.local.aws.multi_model import is_multi_model

_KEY = "ServerlessConfig"


def check_config(variant: Mapping[str, Any], model: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Check the variant of a new endpoint config.

    Raises:
        ApiError: for features that serverless endpoints do not support.
    """
    if _KEY not in variant:
        return
    container = model.get("PrimaryContainer", {})
    source = container.get("ModelDataSource")
    refused = {
        "an instance type": "InstanceType" in variant,
        "a VPC": "VpcConfig" in model,
        "network isolation": model.get("EnableNetworkIsolation", False),
        "data capture": request.get("DataCaptureConfig", {}).get("EnableCapture", False),
        "ModelDataSource": source is not None,
        "multi-model containers": is_multi_model(container),
    }
    if named := [name for name, is_there in refused.items() if is_there]:
        raise invalid(f"Serverless endpoints do not support {', '.join(named)}.")


def check_update(before: Mapping[str, Any], after: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Check the update of an endpoint.

    Args:
        before: variant in service.
        after: variant of the new endpoint config.
        request: of UpdateEndpoint.

    Raises:
        ApiError: if instances would become serverless, or for deployment guardrails of a serverless endpoint.
    """
    if _KEY in after and _KEY not in before:
        raise invalid("Updating an endpoint with instances to a serverless endpoint is not supported.")
    if (_KEY in before or _KEY in after) and request.get("DeploymentConfig"):
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
