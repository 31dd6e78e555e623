"""Table of the pipeline's parameters in ``components/README.md``, generated from the compiled pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.compiling.parameters_check import names_in_pipeline
from components.compiling.pipeline_names import in_stages
from ncf.stages.check import Check

README = "components/README.md"
"""Path of the README with the table, relative to the root of the repository."""
BEGIN, END = "<!-- parameters: written by make pipeline -->", "<!-- end of parameters -->"
_DESCRIPTIONS = {
    "data_uri": "Interactions: an `s3://` URI; on this machine also a path",
    "deploy_endpoint_name": "Endpoint to create, or to update if it exists; its model is then the champion. "
    "Without a name, a new endpoint is named after the run",
    "registry_group": "Model package group of SageMaker's Model Registry; it is created if it does not exist. Its live "
    "package, or else its latest approved one, is the champion if the endpoint has none",
    "seed": "Seed of all stages. The same data, parameters and seed give the same result",
}
"""Descriptions of parameters that several components receive."""


def write(package: Path, readme: Path) -> None:
    """Replace the table between the two markers of a README.

    Args:
        package: compiled pipeline.
        readme: file with the markers ``BEGIN`` and ``END``.

    Raises:
        RuntimeError: if a marker is missing.
    """
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{readme}: the markers '{BEGIN}' and '{END}' are missing")
    readme.write_text(f"{before}{BEGIN}\n{table(package)}{END}{after}")


def table(package: Path) -> str:
    """Markdown table with a row for each parameter: name, name in the stages, default and description.

    Args:
        package: compiled pipeline.
    """
    content = yaml.safe_load(package.read_text())
    names = names_in_pipeline(json_format.ParseDict(content, pipeline_spec_pb2.PipelineSpec()))
    rows = ["| parameter | in the stage | default | description |", "|---|---|---|---|"]
    for name, entry in sorted(content["root"]["inputDefinitions"]["parameters"].items()):
        text = _DESCRIPTIONS.get(name) or next(_descriptions(content, content["root"], name))
        text = re.sub(r"'(\S*)'", r"`\1`", text).replace("``", "none").replace("|", "\\|")
        rows.append(f"| `{name}` | {in_stages(name, names)} | {_default(entry)} | {text} |")
    return "\n".join(rows) + "\n"


def _descriptions(content: Mapping[str, Any], component: Mapping[str, Any], parameter: str) -> Iterator[str]:
    """Descriptions of a DAG's parameter in the components that receive it."""
    for name, task in component.get("dag", {}).get("tasks", {}).items():
        if name == Check.name:  # its descriptions lack the bounds
            continue
        inner = content["components"][task["componentRef"]["name"]]
        for field, source in task.get("inputs", {}).get("parameters", {}).items():
            if source.get("componentInputParameter") != parameter:
                continue
            if "dag" in inner:
                yield from _descriptions(content, inner, field)
            elif description := inner["inputDefinitions"]["parameters"][field].get("description"):
                yield description


def _default(entry: Mapping[str, Any]) -> str:
    """Default of a parameter in Markdown; empty for an empty string."""
    if "defaultValue" not in entry:
        return "*required*"
    value = entry["defaultValue"]
    if value == "":
        return ""
    if entry["parameterType"] == "NUMBER_INTEGER":
        value = int(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
