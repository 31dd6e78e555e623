"""The form of a pipeline for KFP before 2.14, down to Kubeflow 1.7 (2.0.0-alpha.7), the last Kubeflow-on-AWS release.

The oldest backend parses the IR strictly against the pipeline spec of 2022, which lacks a few fields. Its launcher
creates folders that only root can write to, so pods run the root variants of the images. Features that the backends
do not have are removed: retries, descriptions, the final status of a run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from ncf.errors import InputError
from ncf.staged_output import staged

ROOT_SUFFIX = "-root"
OWN_IMAGES = "ncf-"
"""Prefix of the names of this project's images."""
_LATER_FIELDS = {
    "isOptional",
    "description",
    "displayName",
    "cacheKey",
    "retryPolicy",
    "iteratorPolicy",
    "resourceCpuLimit",
    "resourceMemoryLimit",
}


def write_older(package: Path, older: Path) -> None:
    """Rewrite a compiled pipeline: of this project, or another one with components of this project.

    Raises:
        InputError: if the package is not a compiled pipeline.
    """
    text = package.read_text()
    header = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    try:
        json_format.ParseDict(yaml.safe_load(text), PipelineSpec())
    except (yaml.YAMLError, json_format.ParseError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"package: '{package}' is not a compiled pipeline of one document: {reason}") from None
    content = _without_later_fields(_without_final_status(_without_unused_artifacts(yaml.safe_load(text))))
    for executor in content["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        if container.get("image", "").rpartition("/")[2].startswith(OWN_IMAGES):
            container["image"] += ROOT_SUFFIX
    with staged(older) as temporary:
        temporary.write_text(header + yaml.safe_dump(content, sort_keys=True, width=10_000))


def _without_unused_artifacts(content: Any) -> Any:
    """The pipeline without input artifacts that no task passes: backends before 2.0.0 have no optional artifacts."""
    tasks = [
        task
        for component in (content["root"], *content["components"].values())
        for task in component.get("dag", {}).get("tasks", {}).values()
    ]
    for name, component in content["components"].items():
        passed = {
            artifact
            for task in tasks
            if task["componentRef"]["name"] == name
            for artifact in task.get("inputs", {}).get("artifacts", {})
        }
        inputs = component.get("inputDefinitions", {})
        declared = inputs.pop("artifacts", {})
        if kept := {artifact: entry for artifact, entry in declared.items() if artifact in passed}:
            inputs["artifacts"] = kept
    return content


def _without_final_status(content: Any) -> Any:
    """The pipeline without the final status as a parameter of the exit handler: backends before KFP 2.14 lack it."""
    components = content["components"]
    final_statuses = {
        (component["executorLabel"], name)
        for component in components.values()
        for name, entry in component.get("inputDefinitions", {}).get("parameters", {}).items()
        if entry["parameterType"] == "TASK_FINAL_STATUS"
    }
    for label, name in final_statuses:
        for component in components.values():
            if component.get("executorLabel") == label:
                del component["inputDefinitions"]["parameters"][name]
        for task in content["root"]["dag"]["tasks"].values():
            if components[task["componentRef"]["name"]].get("executorLabel") == label:
                del task["inputs"]["parameters"][name]
    return content


def _without_later_fields(node: Any, path: tuple[str, ...] = ()) -> Any:
    """The tree without message fields of later versions; map keys of the same name (parameters) stay."""
    if isinstance(node, list):
        return [_without_later_fields(entry, path) for entry in node]
    if not isinstance(node, dict):
        return node
    is_map = bool(path) and re.fullmatch(r"parameters|artifacts|tasks|components|executors|defaultValue", path[-1])
    return {
        key: _without_later_fields(value, (*path, key))
        for key, value in node.items()
        if is_map or key not in _LATER_FIELDS
    }
