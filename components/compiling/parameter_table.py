"""Table of the pipeline's parameters for the README, made from the compiled pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ncf.stages.check import Check

BEGIN, END = "<!-- parameters: written by make pipeline -->", "<!-- end of parameters -->"
_OWN = {
    "data_uri": "Interactions: an `s3://` URI; on one machine a path",
    "deploy_endpoint_name": "Endpoint to create, or to update if it exists: the model that it hosts is the champion; "
    "'': a new one, named after the run",
    "seed": "Seed of every stage: same data, parameters and seed, same result",
}


def write(package: Path, readme: Path) -> None:
    """Renew the table between the two marks of the README."""
    text = readme.read_text()
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise RuntimeError(f"{readme}: the marks '{BEGIN}' and '{END}' are missing")
    readme.write_text(f"{before}{BEGIN}\n{table(package)}{END}{after}")


def table(package: Path) -> str:
    """A Markdown table: a row per parameter, with the description of the component that takes it."""
    content = yaml.safe_load(package.read_text())
    rows = ["| parameter | default | |", "|---|---|---|"]
    for name, entry in sorted(content["root"]["inputDefinitions"]["parameters"].items()):
        text = _OWN.get(name) or next(_descriptions(content, content["root"], name))
        text = re.sub(r"'(\S*)'", r"`\1`", text).replace("``", "none").replace("|", "\\|")
        rows.append(f"| `{name}` | {_shown(entry)} | {text} |")
    return "\n".join(rows) + "\n"


def _descriptions(content: Mapping[str, Any], component: Mapping[str, Any], parameter: str) -> Iterator[str]:
    """Descriptions of a DAG's parameter by the components that take it."""
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


def _shown(entry: Mapping[str, Any]) -> str:
    if "defaultValue" not in entry:
        return "*required*"
    value = entry["defaultValue"]
    if value == "":
        return ""
    if entry["parameterType"] == "NUMBER_INTEGER":
        value = int(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
