"""KFP's executor input: parameters, input artifacts and output paths of a pod.

A component passes it whole (``{{$}}``) instead of one flag per parameter. Every backend puts the defaults of a task's
parameters into it. Placeholders of single parameters are errors on some backends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.errors import InputError
from ncf.staged_output import staged

EXECUTOR_INPUT = "--executor-input"
RUN_ID_PLACEHOLDER = "{{workflow.uid}}"
"""Placeholder that every KFP API server replaces by the run's ID; ``{{$.pipeline_job_uuid}}`` exists since 2.5.0."""
_MOUNTS: Mapping[str, str] = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""Folder of the local copies of KFP's launcher, by scheme (launcher_v2.go, LocalPathForURI)."""


@dataclass(frozen=True)
class ExecutorInput:
    """Value of ``{{$}}``.

    Attributes:
        content: the JSON object; see ``ExecutorInput`` in KFP's pipeline_spec.proto.
        run_id: of the pipeline run; '' outside of a cluster, where the placeholder is not replaced.
    """

    content: Mapping[str, Any]
    run_id: str = ""

    @classmethod
    def parse(cls, text: str, run_id: str = "") -> ExecutorInput:
        """
        Raises:
            InputError: if it is not an executor input.
        """
        try:
            made = cls(json.loads(text), "" if run_id == RUN_ID_PLACEHOLDER else run_id)
            made._check()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{EXECUTOR_INPUT} must be followed by the JSON that KFP writes for {{{{$}}}}: {error!r}"
            ) from None
        return made

    def _check(self) -> None:
        """
        Raises:
            ValueError, LookupError, TypeError, AttributeError: if it does not have the form of an executor input.
        """
        dict(self.parameters)
        for path in (self.content["outputs"]["outputFile"], *self.uris.values(), *self.paths.values()):
            if not isinstance(path, str) or not path or "\0" in path:
                raise ValueError(f"{path!r} is no path")
            path.encode()
        for entry in (self.content["outputs"].get("artifacts") or {}).values():
            dict(entry["artifacts"][0].get("metadata") or {})

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the input parameters, as in JSON. Parameters without a value are left out.

        Outside of a cluster the placeholder of the run's ID is not replaced. It becomes '', a run of its own.
        """
        values = (self.content.get("inputs") or {}).get("parameterValues") or {}
        return {
            name: "" if value == RUN_ID_PLACEHOLDER else value for name, value in values.items() if value is not None
        }

    @property
    def uris(self) -> dict[str, str]:
        """The URI of each input and output artifact."""
        return {name: artifact["uri"] for name, artifact in self._artifacts().items()}

    @property
    def paths(self) -> dict[str, str]:
        """The local path of each input and output artifact, and the file of each output parameter."""
        files = (self.content["outputs"].get("parameters") or {}).items()
        return {name: _local_path(artifact) for name, artifact in self._artifacts().items()} | {
            name: entry["outputFile"] for name, entry in files
        }

    def located(self, message: str) -> str:
        """A message with URIs of artifacts instead of their paths inside the pod."""
        pairs = {path: self.uris[name] for name, path in self.paths.items() if name in self.uris}
        for path, uri in sorted(pairs.items(), key=lambda pair: -len(pair[0])):
            message = message.replace(path, uri)
        return message

    def write_output(self, metadata: Mapping[str, Mapping[str, Any]], elsewhere: Mapping[str, str]) -> None:
        """Write ``executor_output.json`` with **every** output artifact: KFP drops those that it does not list.

        Args:
            metadata: metadata of artifacts, by name.
            elsewhere: URIs of artifacts that are not at their own URI, by name.
        """
        outputs = self.content["outputs"]
        artifacts = {}
        for name, entry in (outputs.get("artifacts") or {}).items():
            artifact = dict(entry["artifacts"][0])
            artifact["metadata"] = {**(artifact.get("metadata") or {}), **metadata.get(name, {})}
            artifact["uri"] = elsewhere.get(name, artifact["uri"])
            artifacts[name] = {"artifacts": [artifact]}
        with staged(Path(outputs["outputFile"])) as temporary:
            temporary.write_text(json.dumps({"artifacts": artifacts}))

    def _artifacts(self) -> dict[str, Mapping[str, Any]]:
        sides = [self.content.get(side) or {} for side in ("inputs", "outputs")]
        return {
            name: entry["artifacts"][0]
            for side in sides
            for name, entry in (side.get("artifacts") or {}).items()
            if entry.get("artifacts")
        }


def _local_path(artifact: Mapping[str, Any]) -> str:
    if path := artifact.get("customPath"):
        return str(path)
    uri = str(artifact["uri"])
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return mount + uri.removeprefix(scheme)
    return uri  # a path, as KFP's local runner has it
