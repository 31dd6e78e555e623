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
    missing = DeployedModel(absence=f"There is no endpoint {endpoint} in {aws.region}, or its model was deleted.")
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    if state is None:
        return missing
    if state["EndpointStatus"] not in _SERVING:
        return DeployedModel(absence=f"Endpoint {endpoint} is {state['EndpointStatus']} and serves no model.")
    config = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
    if config is None:
        return missing
    name = config["ProductionVariants"][0].get("ModelName")
    model = aws.find("sagemaker", "describe_model", ModelName=name) if name else {}
    if model is None:
        return missing
    if is_multi_model(model):
        return DeployedModel(absence=f"Endpoint {endpoint} hosts several models, none of which is the endpoint's own.")
    uri = model_uri(model) or _of_package(aws, model)
    return DeployedModel(uri) if is_s3(uri) else DeployedModel(absence=f"Endpoint {endpoint} serves no model from S3.")


def _of_package(aws: Aws, model: Mapping[str, Any]) -> str:
    """URI of the model in the package that a SageMaker model was created from; '' if there is none."""
    arn = model.get("PrimaryContainer", {}).get("ModelPackageName", "")
    package = describe(aws, arn) if arn else None
    return package.model_uri if package else ""


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
