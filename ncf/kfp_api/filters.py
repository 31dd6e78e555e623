"""Filters of the API's lists.

https://github.com/kubeflow/pipelines/blob/master/backend/api/v2beta1/filter.proto
"""

from __future__ import annotations

import json

_EQUALS = 1


def named(name: str) -> str:
    """The filter by display name."""
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": "display_name", "stringValue": name}]})
