"""The models of a multi-model endpoint: archives under a prefix in S3, and the record of which of them are live.

SageMaker keeps archives on its instances: one that is replaced in S3 is not read again. So each version of a model has
an archive of its own, ``<root>/models/<name>/<version>.tar.gz``, whose key under ``models/`` is the ``TargetModel`` of
requests. ``<root>/live/<name>.json`` names the one that applications request.

https://docs.aws.amazon.com/sagemaker/latest/dg/add-models-to-endpoint.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ncf.artifacts.archive import SUFFIXES
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.hosting.endpoint_plan import is_multi_model
from ncf.sagemaker.staging import model_uri, upload_archive
from ncf.storage import download, list_objects, upload

CALLS = ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel")
"""AWS calls of this module, from which the IAM permissions are generated."""

_ARCHIVES = "models"
_KEPT_VERSIONS = 10
"""Previous versions of a model in its record."""


class Live(BaseModel):
    """The live version of a model.

    Attributes:
        target_model: ``TargetModel`` of requests.
        previous: those before it, the last one first.
    """

    model_config = ConfigDict(frozen=True)

    target_model: str
    previous: list[str] = []


@dataclass(frozen=True)
class SharedModels:
    """The models of a multi-model endpoint.

    Attributes:
        root: S3 URI under which the archives and the records are.
    """

    root: str

    @classmethod
    def of(cls, s3_prefix: str, endpoint: str) -> SharedModels:
        """Those of an endpoint, by the parameters ``s3_prefix`` and ``endpoint_name``."""
        return cls(f"{s3_prefix}/{endpoint}")

    @property
    def archives(self) -> str:
        """S3 URI that SageMaker reads archives from."""
        return f"{self.root}/{_ARCHIVES}"

    def uri(self, target_model: str) -> str:
        """S3 URI of an archive."""
        return f"{self.archives}/{target_model}"

    def live_uri(self, name: str) -> str:
        """S3 URI of the record of a model."""
        return f"{self.root}/live/{name}.json"

    def has(self, target_model: str) -> bool:
        """Whether the archive exists."""
        return list_objects(self.uri(target_model)) == [self.uri(target_model)]

    def add(self, target_model: str, folder: Path) -> None:
        """Upload a model's folder as an archive, unless it is there. No archive is ever replaced."""
        if not self.has(target_model):
            upload_archive(folder, self.uri(target_model))

    def live(self, name: str) -> Live | None:
        """The live version of a model; None if there is none.

        Raises:
            InputError: if the record is damaged.
        """
        uri = self.live_uri(name)
        if not list_objects(uri):
            return None
        with tempfile.TemporaryDirectory(prefix="ncf-") as folder:
            content = download(uri, Path(folder) / "live.json").read_bytes()
        try:
            return Live.model_validate_json(content)
        except ValidationError:
            raise InputError(
                f"{uri}: expected JSON with 'target_model' and 'previous'; deploy the model again"
            ) from None

    def set_live(self, name: str, target_model: str) -> None:
        """Record the live version of a model. A retry changes nothing."""
        before = self.live(name)
        if before is None:
            self._write(name, Live(target_model=target_model))
        elif before.target_model != target_model:
            older = [version for version in before.previous if version != target_model]
            previous = [before.target_model, *older][:_KEPT_VERSIONS]
            self._write(name, Live(target_model=target_model, previous=previous))

    def roll_back(self, name: str) -> tuple[str, str]:
        """Return a model to the version before, of those whose archives exist.

        Returns:
            ``TargetModel`` before and after.

        Raises:
            InputError: if there is no such model, or no version before.
        """
        live = self.live(name)
        if live is None:
            raise InputError(f"parameter 'target_model' is '{name}': there is no such model in {self.root}/live/")
        for index, target in enumerate(live.previous):
            if self.has(target):
                self._write(name, Live(target_model=target, previous=live.previous[index + 1 :]))
                return live.target_model, target
        raise InputError(f"model '{name}' serves {live.target_model}, and has no archive of an older version")

    def _write(self, name: str, live: Live) -> None:
        with tempfile.TemporaryDirectory(prefix="ncf-") as folder:
            path = Path(folder) / "live.json"
            path.write_text(live.model_dump_json())
            upload(path, self.live_uri(name))


def target_model(name: str, version: str) -> str:
    """``TargetModel`` of a version of a model."""
    return f"{name}/{version}{SUFFIXES[0]}"


def shared_models(aws: Aws, endpoint: str) -> SharedModels | None:
    """The models of a multi-model endpoint; None if the endpoint has one model, or does not exist."""
    model = model_of(aws, endpoint)
    if model is None or not is_multi_model(model):
        return None
    return SharedModels(model_uri(model).removesuffix(f"/{_ARCHIVES}"))


def model_of(aws: Aws, endpoint: str) -> Mapping[str, Any] | None:
    """SageMaker's model of an endpoint; None if there is none."""
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    name = state["EndpointConfigName"] if state else ""
    config = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=name) if name else None
    model = config["ProductionVariants"][0].get("ModelName") if config else None
    return aws.find("sagemaker", "describe_model", ModelName=model) if model else None
