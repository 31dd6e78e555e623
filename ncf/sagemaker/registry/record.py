"""What a package records of a model: the request of CreateModelPackage.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncf.api.media_types import MEDIA_TYPES
from ncf.artifacts import manifest
from ncf.artifacts.provenance import Provenance
from ncf.aws.names import hashed_name
from ncf.sagemaker.registry import properties as keys
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.sagemaker.registry.settings import AT_ONCE

_PARTS = ("train", "validation", "test")
"""Counts of the interactions of a data set."""
_MAX_DESCRIPTION_LENGTH = 1024
_OTHER_HARDWARE = re.compile(r"ml\.(inf|trn|dl)\d.*|ml\.[a-z]+\d+g(d|n)?\..*|ml\..*-gb\d+\..*")
"""Instance types that do not run images for x86-64: AWS's own accelerators, Graviton and Grace processors."""


@dataclass(frozen=True)
class Record:
    """A model to be registered.

    Attributes:
        group: name of the model package group.
        run: ID of the pipeline run.
        image: image of the endpoint.
        model: S3 URI of the model's folder, or of its archive.
        is_archive: whether it is an archive.
        content: manifest of the model.
        metrics: metrics of evaluate.
        uris: S3 URIs of ``metrics``, ``report`` and ``diff``, as far as they exist.
        closed_by: reason of a closed gate; '' for an open one.
        release: parameter of that name.
    """

    group: str
    run: str
    image: str
    model: str
    is_archive: bool
    content: Mapping[str, Any]
    metrics: Mapping[str, Any]
    uris: Mapping[str, str]
    closed_by: str
    release: str

    @property
    def token(self) -> str:
        """ClientToken, which is the same in each try of the run."""
        return token(self.group, self.run)

    @property
    def status(self) -> str:
        """Approval status at the registration."""
        if self.closed_by:
            return REJECTED
        return APPROVED if self.release == AT_ONCE else PENDING

    def request(self, instance_types: Mapping[str, list[str]]) -> dict[str, Any]:
        """Arguments of CreateModelPackage.

        Args:
            instance_types: ``ProductionVariantInstanceType`` and ``TransformInstanceType`` -> the known ones.
        """
        source = {"S3Uri": f"{self.model}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        data = {"ModelDataUrl": self.model} if self.is_archive else {"ModelDataSource": {"S3DataSource": source}}
        statistics = {"ContentType": "application/json", "S3Uri": self.uris["metrics"]}
        return {
            "ModelPackageGroupName": self.group,
            "ModelPackageDescription": _description(self.run, self.closed_by),
            "ClientToken": self.token,
            "ModelApprovalStatus": self.status,
            "InferenceSpecification": {
                "Containers": [{"Image": self.image, **data}],
                "SupportedRealtimeInferenceInstanceTypes": _suitable(instance_types["ProductionVariantInstanceType"]),
                "SupportedTransformInstanceTypes": _suitable(instance_types["TransformInstanceType"]),
                "SupportedContentTypes": list(MEDIA_TYPES),
                "SupportedResponseMIMETypes": list(MEDIA_TYPES),
            },
            "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
            "CustomerMetadataProperties": self.properties(),
            **self._metadata(),
        }

    def _metadata(self) -> dict[str, Any]:
        provenance = Provenance.of(self.content)
        made_by = ", ".join(
            f"{kind} {name}" for kind, name in (("run", self.run), ("training job", provenance.training_job)) if name
        )
        commit = {"CommitId": provenance.commit} if provenance.commit else {}
        return {"MetadataProperties": {"GeneratedBy": made_by, **commit}}

    def properties(self) -> dict[str, str]:
        """CustomerMetadataProperties."""
        provenance, counts = Provenance.of(self.content), self.content["counts"]
        own = {
            keys.RUN: self.run,
            keys.GATE: f"{keys.CLOSED}: {self.closed_by}" if self.closed_by else "passed",
            keys.RELEASE: self.release,
            keys.JOB: provenance.training_job,
            keys.FINGERPRINT: provenance.fingerprint,
            keys.MODEL: manifest.version(self.content),
            keys.MODEL_DIGEST: manifest.fingerprint(self.content),
            keys.VERSION: provenance.version,
            keys.IMAGE: provenance.image,
            keys.USERS: counts.get("users", ""),
            keys.ITEMS: counts.get("items", ""),
            keys.INTERACTIONS: sum(provenance.counts.get(part, 0) for part in _PARTS) or counts.get("train", ""),
            keys.NDCG: _number(self.metrics.get("full_ndcg_at_10")),
            keys.HR: _number(self.metrics.get("full_hr_at_10")),
            **{
                key: uri
                for key, name in ((keys.REPORT, "report"), (keys.DIFF, "diff"))
                if keys.is_value(uri := self.uris.get(name, ""))
            },
        }
        hyperparameters = {
            f"{keys.PARAMETER_PREFIX}{name}": value for name, value in self.content["parameters"].items()
        }
        return keys.as_properties({**own, **hyperparameters}, keys.MAX_PROPERTIES - len(keys.OF_DECISION))


def token(group: str, run: str) -> str:
    """Name of a run's registration in a group: its ClientToken, and the folder of what is copied to S3 for it."""
    return hashed_name("ncf-register", {"group": group, "run": run})


def is_description_of(description: str, run: str) -> bool:
    """Whether a ModelPackageDescription is that of a run's package. That of another run may look like it."""
    head = _description(run, "")
    return description == head or description.startswith(f"{head}; ")


def _description(run: str, closed_by: str) -> str:
    """ModelPackageDescription. It is in the answers of ListModelPackages, which do not hold the properties."""
    text = f"run {run}; the gate is closed: {closed_by}" if closed_by else f"run {run}"
    return " ".join(text.split())[:_MAX_DESCRIPTION_LENGTH].rstrip()


def _suitable(instance_types: list[str]) -> list[str]:
    return [name for name in instance_types if not _OTHER_HARDWARE.fullmatch(name)]


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else ""
