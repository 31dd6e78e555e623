"""State and answers of the stand-in: experiments, pipelines, versions, and runs, as of KFP's API v2beta1.

https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

from __future__ import annotations

import json
import queue
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Answer = tuple[int, dict[str, Any]]

_PREFIX = "/apis/v2beta1"
_INVALID, _NOT_FOUND = 3, 5
"""Codes of gRPC in errors."""
VERSION = "local"
"""Name of the only version of each pipeline."""
_RUN = re.compile(r"/runs/([0-9a-f-]{36})(:terminate)?")
_VERSIONS = re.compile(r"/pipelines/([\w-]+)/versions")


@dataclass(frozen=True)
class Accepted:
    """A run that was created.

    Attributes:
        id: UUID.
        name: of the run.
        pipeline: name of its pipeline.
        arguments: of the pipeline.
    """

    id: str
    name: str
    pipeline: str
    arguments: Mapping[str, Any]


class KfpApi:
    """The API. Pipelines have their name as ID, and one version.

    Args:
        pipelines: names of the inputs of each pipeline, by its name, and whether each has a default.
    """

    def __init__(self, pipelines: Mapping[str, Mapping[str, bool]]) -> None:
        self._pipelines = pipelines
        self._experiments: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.accepted: queue.SimpleQueue[Accepted] = queue.SimpleQueue()
        """Runs to execute, in the order of their creation."""

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        """Status and JSON of a request."""
        route = path.removeprefix(_PREFIX)
        with self._lock:
            match method, route:
                case "GET", "/healthz":
                    return 200, {"multi_user": False}
                case "GET", "/experiments":
                    return 200, {"experiments": _named(self._experiments.values(), query)}
                case "POST", "/experiments":
                    return self._create_experiment(body)
                case "GET", "/pipelines":
                    shown = [{"pipeline_id": name, "display_name": name} for name in self._pipelines]
                    return 200, {"pipelines": _named(shown, query)}
                case "GET", "/runs":
                    of = query.get("experiment_id")
                    runs = [run for run in self._runs.values() if of in (None, run.get("experiment_id"))]
                    return 200, {"runs": _named(runs, query)}
                case "POST", "/runs":
                    return self._create_run(body)
            if method == "GET" and (found := _VERSIONS.fullmatch(route)) and found[1] in self._pipelines:
                version = {"pipeline_id": found[1], "pipeline_version_id": VERSION, "display_name": VERSION}
                return 200, {"pipeline_versions": _named([version], query)}
            if (found := _RUN.fullmatch(route)) and found[1] in self._runs:
                run = self._runs[found[1]]
                if method == "POST" and found[2] and run["state"] == "PENDING":
                    run["state"] = "CANCELED"
                return 200, {} if found[2] else run
        return 404, {"code": _NOT_FOUND, "message": f"{method} {route} is not found"}

    def set_state(self, run_id: str, state: str) -> bool:
        """Set the state of a run.

        Returns:
            Whether it is set: a run that was terminated before its start stays so.
        """
        with self._lock:
            run = self._runs[run_id]
            if run["state"] == "CANCELED":
                return False
            run["state"] = state
            return True

    def _create_experiment(self, body: Mapping[str, Any]) -> Answer:
        name = body.get("display_name", "")
        made = {**body, "experiment_id": f"experiment-{len(self._experiments) + 1}"}
        return 200, self._experiments.setdefault(name, made)

    def _create_run(self, body: Mapping[str, Any]) -> Answer:
        reference = body.get("pipeline_version_reference") or {}
        pipeline, arguments = reference.get("pipeline_id"), (body.get("runtime_config") or {}).get("parameters") or {}
        inputs = self._pipelines.get(str(pipeline))
        if inputs is None or reference.get("pipeline_version_id") != VERSION:
            return 404, {"code": _NOT_FOUND, "message": f"Failed to fetch pipeline {pipeline}: not found"}
        if unknown := [name for name in arguments if name not in inputs]:
            return _invalid(f"parameter {unknown[0]} is not an input of pipeline {pipeline}")
        if missing := [name for name, has_default in inputs.items() if not has_default and name not in arguments]:
            return _invalid(f"parameter {missing[0]} of pipeline {pipeline} has no default, and is not given")
        run_id = str(uuid.uuid4())
        made = {
            **body,
            "run_id": run_id,
            "state": "PENDING",
            "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        self._runs[run_id] = made
        self.accepted.put(Accepted(run_id, str(body.get("display_name")), str(pipeline), arguments))
        return 200, dict(made)


def _invalid(message: str) -> Answer:
    return 400, {"code": _INVALID, "message": f"Invalid input error: {message}"}


def _named(entries: Any, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """The entries with the display name of the filter; all without one."""
    predicates = json.loads(query.get("filter") or "{}").get("predicates", [])
    names = [predicate["stringValue"] for predicate in predicates]
    return [dict(entry) for entry in entries if all(entry["display_name"] == name for name in names)]
