"""The model that an endpoint serves at present."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.artifacts.archive import SUFFIXES, unpack
from ncf.aws.session import Aws
from ncf.sagemaker.hosting.endpoint_plan import is_multi_model
from ncf.sagemaker.registry.package import describe
from ncf.sagemaker.staging import model_uri
from ncf.storage import download, is_s3, local_copy

CALLS = ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel")
"""AWS calls of this module, from which the IAM permissions are generated."""

_SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack")


@dataclass(frozen=True)
class DeployedModel:
    """The model of an endpoint.

    Attributes:
        uri: of the model's folder in S3, or of its archive; '' if the endpoint serves none.
        absence: reason why it serves none; '' otherwise.
    """

    uri: str = ""
    absence: str = ""


def deployed_model(aws: Aws, endpoint: str) -> DeployedModel:
    """The S3 URI of the model that an endpoint serves.

    Raises:
        RemoteError: if AWS refuses a call or cannot be reached.
        InputError: without credentials or a region.
    """
    model, absence = _in_service(aws, endpoint)
    if absence:
        return DeployedModel(absence=absence)
    if is_multi_model(model):
        return DeployedModel(absence=f"Endpoint {endpoint} hosts several models, none of which is the endpoint's own.")
    arn = _package_of(model)
    package = describe(aws, arn) if arn else None
    uri = model_uri(model) or (package.model_uri if package else "")
    return DeployedModel(uri) if is_s3(uri) else DeployedModel(absence=f"Endpoint {endpoint} serves no model from S3.")


def deployed_package(aws: Aws, endpoint: str) -> str:
    """ARN of the model package that the model in service was created from; '' for none."""
    return _package_of(_in_service(aws, endpoint)[0])


def package_of_config(aws: Aws, config: str) -> str:
    """ARN of the model package that the model of an endpoint config was created from; '' for none."""
    return _package_of(_model_of(aws, config) or {})


def _in_service(aws: Aws, endpoint: str) -> tuple[Mapping[str, Any], str]:
    """SageMaker's description of the model that an endpoint serves, or the reason why there is none."""
    missing = f"There is no endpoint {endpoint} in {aws.region}, or its model was deleted."
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    if state is None:
        return {}, missing
    if state["EndpointStatus"] not in _SERVING:
        return {}, f"Endpoint {endpoint} is {state['EndpointStatus']} and serves no model."
    model = _model_of(aws, state["EndpointConfigName"])
    return ({}, missing) if model is None else (model, "")


def _model_of(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """SageMaker's description of the model of an endpoint config: empty if it has none, None if it was deleted."""
    config = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=name)
    if config is None:
        return None
    model = config["ProductionVariants"][0].get("ModelName")
    return aws.find("sagemaker", "describe_model", ModelName=model) if model else {}


def _package_of(model: Mapping[str, Any]) -> str:
    return str(model.get("PrimaryContainer", {}).get("ModelPackageName", ""))


@contextmanager
def local_model(uri: str, *names: str) -> Iterator[Path]:
    """A local copy of a model's folder, unpacked if it is an archive.

    Args:
        uri: of the folder or archive.
        names: files that are needed, as an archive always has all; none: all.

    Raises:
        InputError: if there is no such object, it may not be read, or it is no archive.
    """
    if not uri.endswith(SUFFIXES):
        with local_copy(uri, (lambda found: [name for name in found if name in names]) if names else None) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        packed = download(uri, Path(temporary) / "model.tar.gz")
        folder = Path(temporary) / "model"
        unpack(packed, folder, uri)
        yield folder
