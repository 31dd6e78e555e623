"""Data capture of a live endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from ncf.aws.session import Aws
from ncf.errors import InputError

CALLS = ("sagemaker:DescribeEndpoint",)
"""AWS calls of this module, from which the IAM permissions are generated."""


@dataclass(frozen=True)
class CapturedEndpoint:
    """An endpoint and its data capture.

    Attributes:
        arn: of the endpoint.
        location: S3 URI that requests and answers are recorded to; '' for none.
        sampling: share of the requests that is recorded, percent; 0 for none.
        variants: names of the variants in service.
    """

    arn: str
    location: str
    sampling: int
    variants: tuple[str, ...]


def captured_endpoint(aws: Aws, endpoint: str) -> CapturedEndpoint:
    """The data capture of an endpoint, by its present config.

    Raises:
        InputError: if the endpoint does not exist.
        RemoteError: if AWS refuses the call or cannot be reached.
    """
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    if state is None:
        raise InputError(f"parameter 'endpoint_name' is '{endpoint}': there is no such endpoint in {aws.region}")
    capture = state.get("DataCaptureConfig", {})
    is_on = bool(capture.get("EnableCapture"))
    variants = tuple(variant["VariantName"] for variant in state.get("ProductionVariants", []))
    return CapturedEndpoint(
        state["EndpointArn"],
        str(capture.get("DestinationS3Uri", "")),
        int(capture.get("CurrentSamplingPercentage", 0)) if is_on else 0,
        variants,
    )
