"""The model that a person names: a folder, an S3 URI, a model package or an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ncf.aws.settings import AwsAccess
from ncf.errors import InputError
from ncf.sagemaker.hosting.settings import checked_endpoint_name
from ncf.storage import is_s3, local_copy

if TYPE_CHECKING:
    from ncf.artifacts.model_folder import ModelFolder

ACCEPTED = (
    "a model folder or an archive of it, its s3:// URI, a model package as GROUP/VERSION or its ARN, or the name of an "
    "endpoint"
)
"""What a person may name, for messages and descriptions."""


@contextmanager
def named_model(access: AwsAccess, parameter: str, text: str) -> Iterator[tuple[ModelFolder, str]]:
    """A model and its name. AWS is asked only about what is no path.

    Args:
        access: to AWS.
        parameter: for messages.
        text: as :data:`ACCEPTED` says.

    Raises:
        InputError: that names the parameter, its value and what is accepted, if there is no such model.
    """
    from ncf.artifacts.archive import unpacked
    from ncf.artifacts.model_folder import ModelFolder

    try:
        location, name = _located(access, text)
        with local_copy(location) as copy, unpacked(copy) as folder:
            model = ModelFolder.load(folder)
    except InputError as error:
        raise InputError(f"parameter '{parameter}' is '{text}': {error}; expected {ACCEPTED}") from None
    yield model, name


def _located(access: AwsAccess, text: str) -> tuple[str, str]:
    """Path or URI of a model, and its name.

    Raises:
        InputError: if there is none.
    """
    if is_s3(text) or Path(text).exists():
        return text, text.rstrip("/")
    from ncf.aws.session import Aws
    from ncf.sagemaker.hosting.deployed_model import deployed_model
    from ncf.sagemaker.registry.package import find, is_version

    if is_version(text):
        package = find(Aws(access), text)
        return package.model_in_s3(), package.name
    try:
        endpoint = checked_endpoint_name(text)
    except ValueError:
        raise InputError("there is no such file or folder") from None
    deployed = deployed_model(Aws(access), endpoint)
    if deployed.absence:
        raise InputError(deployed.absence.removesuffix("."))
    return deployed.uri, f"endpoint {endpoint}"
