"""Models and endpoint configs: resources without behaviour, stored as their requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.jobs import page
from components.local.aws.tags import Tags


class Records:
    """All resources of a type.

    Args:
        resource: type in the API, such as ``EndpointConfig``.
        kind: type in ARNs, such as ``endpoint-config``.
        arn: function that returns an ARN, given a kind and a name.
        tags: tags of the resources.
    """

    def __init__(self, resource: str, kind: str, arn: Callable[[str, str], str], tags: Tags) -> None:
        self._resource, self._kind, self._arn, self._tags = resource, kind, arn, tags
        self._lock = threading.Lock()
        self._by_name: dict[str, dict[str, Any]] = {}

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request[f"{self._resource}Name"]
        arn = {f"{self._resource}Arn": self._arn(self._kind, name)}
        with self._lock:
            if name in self._by_name:
                raise invalid(f'Cannot create already existing {self._words} "{self._arn(self._kind, name)}".')
            content = {field: value for field, value in request.items() if field != "Tags"}
            self._by_name[name] = {**content, **arn, "CreationTime": time.time()}
            self._tags.set(self._arn(self._kind, name), request.get("Tags", []))
        return arn

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self.get(request[f"{self._resource}Name"])

    def get(self, name: str) -> dict[str, Any]:
        """The resource of a name.

        Raises:
            ApiError: if it does not exist.
        """
        with self._lock:
            if name in self._by_name:
                return dict(self._by_name[name])
        raise self.missing(name)

    def missing(self, name: str) -> ApiError:
        """Error of a resource that does not exist."""
        return invalid(f'Could not find {self._words} "{self._arn(self._kind, name)}".')

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.describe(request)
        name = request[f"{self._resource}Name"]
        with self._lock:
            self._by_name.pop(name, None)
        self._tags.remove(self._arn(self._kind, name))
        return {}

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        keys = (f"{self._resource}Name", f"{self._resource}Arn", "CreationTime")
        with self._lock:
            found = [{key: entry[key] for key in keys} for entry in self._by_name.values()]
        found = [entry for entry in found if request.get("NameContains", "") in entry[keys[0]]]
        found.sort(key=lambda entry: entry["CreationTime"], reverse=request.get("SortOrder") != "Ascending")
        return page(f"{self._resource}s", found, request)

    @property
    def _words(self) -> str:
        return {"endpoint-config": "endpoint configuration"}.get(self._kind, self._kind)
