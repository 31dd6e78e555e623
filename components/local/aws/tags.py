"""Tags of SageMaker's resources, by ARN."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from components.local.aws.errors import invalid

KINDS = (
    "training-job", "processing-job", "transform-job", "hyper-parameter-tuning-job", "model", "endpoint-config",
    "endpoint", "model-package-group", "model-package",
)  # fmt: skip
"""Kinds of resources of this package. moto stores the tags of other kinds."""
_PAGE = 100


class Tags:
    """Tags of all resources of :data:`KINDS`, and the operations on them, each of the same name."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_arn: dict[str, list[dict[str, str]]] = {}

    def set(self, arn: str, tags: Sequence[dict[str, str]]) -> None:
        """Set the tags of a new resource."""
        with self._lock:
            self._by_arn[arn] = list(tags)

    def remove(self, arn: str) -> None:
        """Remove the tags of a deleted resource."""
        with self._lock:
            self._by_arn.pop(arn, None)

    def add_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            known = {tag["Key"]: tag for tag in self._of(request)}
            known |= {tag["Key"]: tag for tag in request["Tags"]}
            self._by_arn[request["ResourceArn"]] = list(known.values())
            return {"Tags": self._by_arn[request["ResourceArn"]]}

    def list_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            return {"Tags": list(self._of(request))}

    def delete_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            kept = [tag for tag in self._of(request) if tag["Key"] not in request["TagKeys"]]
            self._by_arn[request["ResourceArn"]] = kept
        return {}

    def _of(self, request: Mapping[str, Any]) -> list[dict[str, str]]:
        arn = request["ResourceArn"]
        if kind_of(arn) == "model-package":
            raise invalid(
                "Tags are not supported in Model Package versions. Please add them to the Model Package Group."
            )
        if arn not in self._by_arn:
            raise invalid(f"Could not find requested resource {arn}")
        return self._by_arn[arn]

    def get_resources(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer of GetResources of the Resource Groups Tagging API.

        https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
        """
        kinds = [kind.removeprefix("sagemaker:") for kind in request.get("ResourceTypeFilters", [])] or KINDS
        wanted = {entry["Key"]: set(entry.get("Values", [])) for entry in request.get("TagFilters", [])}
        with self._lock:
            found = [
                {"ResourceARN": arn, "Tags": list(tags)}
                for arn, tags in sorted(self._by_arn.items())
                if kind_of(arn) in kinds and _has_tags(tags, wanted)
            ]
        start = int(request.get("PaginationToken") or 0)
        end = start + request.get("ResourcesPerPage", _PAGE)
        return {
            "ResourceTagMappingList": found[start:end],
            "PaginationToken": str(end) if end < len(found) else "",
        }


def kind_of(arn: str) -> str:
    """Kind of a resource, such as ``training-job``."""
    return arn.split(":")[-1].partition("/")[0]


def _has_tags(tags: Sequence[Mapping[str, str]], wanted: Mapping[str, set[str]]) -> bool:
    known = {tag["Key"]: tag["Value"] for tag in tags}
    return all(key in known and (not values or known[key] in values) for key, values in wanted.items())
