"""The model that an endpoint hosts now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ncf.artifacts.archive import SUFFIXES, unpack
from ncf.aws.session import Aws, RefusedError
from ncf.storage import download, is_s3, local_copy

CALLS = ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel")
"""What this module calls: permissions are made from it."""

_SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack")


@dataclass(frozen=True)
class Hosted:
    """What an endpoint hosts.

    Attributes:
        uri: of the model's folder in S3, or of an archive of it; '' if it hosts none.
        absence: why it hosts none; '' if it does.
    """

    uri: str = ""
    absence: str = ""


def hosted_model(aws: Aws, endpoint: str) -> Hosted:
    """Where the model lies that an endpoint hosts now.

    Raises:
        RemoteError: if AWS refuses to tell or cannot be reached.
        InputError: without credentials or a region.
    """
    try:
        state = aws.call("sagemaker", "describe_endpoint", EndpointName=endpoint)
        if state["EndpointStatus"] not in _SERVING:
            return Hosted(absence=f"Endpoint {endpoint} is {state['EndpointStatus']} and serves no model.")
        config = aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
        name = config["ProductionVariants"][0].get("ModelName")
        model = aws.call("sagemaker", "describe_model", ModelName=name) if name else {}
    except RefusedError as error:
        if error.says_missing:
            return Hosted(absence=f"There is no endpoint {endpoint} in {aws.region}, or what it hosts was deleted.")
        raise
    container = model.get("PrimaryContainer", {})
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = str(source.get("S3Uri") or container.get("ModelDataUrl") or "").rstrip("/")
    if not is_s3(uri):
        return Hosted(absence=f"Endpoint {endpoint} serves no model from S3.")
    return Hosted(uri)


@contextmanager
def local_model(uri: str) -> Iterator[Path]:
    """A local copy of a hosted model's folder, unpacked where it is an archive.

    Raises:
        InputError: if nothing lies there, it may not be read, or it is no archive.
    """
    if not uri.endswith(SUFFIXES):
        with local_copy(uri) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        packed = download(uri, Path(temporary) / "model.tar.gz")
        folder = Path(temporary) / "model"
        unpack(packed, folder, uri)
        yield folder
