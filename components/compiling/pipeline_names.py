"""Names of parameters in stages and in pipelines: for the help of the command line and the table of parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.compiling.parameters_check import names_in_pipeline

FILE = "ncf/stage/pipeline_names.json"
"""File that ``ncf STAGE --help`` reads, relative to the root of the repository."""


def write(pipelines: Sequence[Any], path: Path) -> None:
    """Write the names that parameters of stages have in pipelines, where they differ.

    Args:
        pipelines: compiled pipelines.
        path: file to write.
    """
    path.write_text(content(pipelines))


def content(pipelines: Sequence[Any]) -> str:
    """JSON of {command of the stage: {parameter of the stage: parameter of the pipeline}}."""
    names: dict[str, dict[str, str]] = {}
    for spec in pipelines:
        for field, stages in names_in_pipeline(spec).items():
            for stage, parameter in stages.items():
                names.setdefault(stage, {})[field] = parameter
    return json.dumps(names, indent=2, sort_keys=True) + "\n"


def in_stages(parameter: str, names: Mapping[str, Mapping[str, str]]) -> str:
    """The names of a pipeline's parameter in stages, in Markdown; '' where they are the same.

    Args:
        parameter: of the pipeline.
        names: result of :func:`names_in_pipeline`.
    """
    found = {field: sorted(s for s in stages if stages[s] == parameter) for field, stages in names.items()}
    found = {field: stages for field, stages in found.items() if stages}
    if len(found) == 1:
        return f"`{next(iter(found))}`"
    return ", ".join(f"`{field}` of {' and '.join(stages)}" for field, stages in sorted(found.items()))
