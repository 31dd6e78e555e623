"""The content of a model package that a decision concerns, as one fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ncf.aws.names import TAG_PREFIX
from ncf.sagemaker.registry.properties import OF_DECISION

_BY_SAGEMAKER = frozenset({"ImageDigest", "ModelDataETag", "ETag", "ManifestEtag"})
"""Members of a container that SageMaker may fill in later."""


def fingerprint(answer: Mapping[str, Any]) -> str:
    """SHA-256 of the containers, the source and the properties of this project in an answer of DescribeModelPackage.

    These are the members that UpdateModelPackage can change and that a release depends on. Properties with other names
    are those of other people, and may change.
    """
    properties = answer.get("CustomerMetadataProperties", {})
    content = {
        "containers": _given(answer.get("InferenceSpecification", {}).get("Containers", [])),
        "source": answer.get("SourceUri", ""),
        "properties": {
            key: value for key, value in properties.items() if key.startswith(TAG_PREFIX) and key not in OF_DECISION
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _given(value: Any) -> Any:
    """A value without the members that SageMaker fills in."""
    if isinstance(value, Mapping):
        return {name: _given(entry) for name, entry in value.items() if name not in _BY_SAGEMAKER}
    return [_given(entry) for entry in value] if isinstance(value, list) else value
