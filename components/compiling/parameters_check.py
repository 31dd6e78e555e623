"""Check of a pipeline's arguments by the stages that take them, before a run starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from pydantic import ValidationError

from components.factory import POD_COMMAND
from ncf.errors import InputError
from ncf.stage.registry import load_stage, stage_names
from ncf.stages.check import Check
from ncf.stages.finish import Finish

_ANYTHING = "any"
_ANY_OF: Mapping[Any, Any] = {bool: True}
"""Values of types other than text."""
_ANY_ROLE = "arn:aws:iam::123456789012:role/any"


def check_parameters(pipeline_spec: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a stage would refuse later.

    Args:
        pipeline_spec: the compiled pipeline.
        arguments: arguments, by name of the pipeline's parameter.

    Raises:
        InputError: that names the parameter at fault and what is accepted.
    """
    spec = json_format.MessageToDict(pipeline_spec)
    reached = list(_reached(spec, spec["root"]["dag"], {name: name for name in arguments}))
    # Check comes last: the messages of the stages themselves are more precise
    for stage_name, given in sorted(reached, key=lambda entry: entry[0] == Check.name):
        stage = load_stage(stage_name)
        values: dict[str, Any] = {
            name: _ANY_ROLE if name.endswith("role") else _ANY_OF.get(field.annotation, _ANYTHING)
            for name, field in stage.model_fields.items()
            if field.is_required() or name in stage.default_images
        }
        given = {field: parameter for field, parameter in given.items() if field in stage.model_fields}
        values |= {field: arguments[parameter] for field, parameter in given.items()}
        values |= {  # an artifact, or the URI in its place
            name: _ANYTHING for name, role in stage.inputs().items() if role.optional and not values.get(f"{name}_uri")
        }
        try:
            stage(**values)
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            field = str(first["loc"][0]) if first["loc"] else ""
            if field in given:
                message = f"parameter '{given[field]}' is {first['input']!r}: {message[0].lower()}{message[1:]}"
            elif "_overrides'" not in message:
                message += renamed(pipeline_spec, stage.command_name(), message)
            raise InputError(message) from None


def renamed(pipeline_spec: Any, stage_name: str, message: str) -> str:
    """The pipeline's names of the parameters in a stage's message; '' if the names are the same.

    Args:
        pipeline_spec: the compiled pipeline.
        stage_name: command of the stage.
        message: message of that stage. Parameters are quoted in it, or are words with an underscore.
    """
    spec = json_format.MessageToDict(pipeline_spec)
    parameters = spec["root"]["inputDefinitions"].get("parameters", {})
    words = {*re.findall(r"'(\w+)'", message), *re.findall(r"\w+_\w+", message)}
    names = {
        field: parameter
        for name, given in _reached(spec, spec["root"]["dag"], {name: name for name in parameters})
        if name.replace("_", "-") == stage_name
        for field, parameter in given.items()
        if field != parameter and field in words
    }
    pairs = ", ".join(f"'{field}' is '{parameter}'" for field, parameter in names.items())
    return f" (in the pipeline, {pairs})" if pairs else ""


def names_in_pipeline(pipeline_spec: Any) -> dict[str, dict[str, str]]:
    """Parameters of stages that have another name in the pipeline: name -> stage's command -> name in the pipeline.

    The check before the first stage and the exit handler only repeat the parameters of others.
    """
    spec = json_format.MessageToDict(pipeline_spec)
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    names: dict[str, dict[str, str]] = {}
    for stage, given in _reached(spec, spec["root"]["dag"], {name: name for name in parameters}):
        for field, parameter in given.items():
            if field != parameter and stage not in (Check.name, Finish.name):
                names.setdefault(field, {})[stage.replace("_", "-")] = parameter
    return names


def _reached(
    spec: Mapping[str, Any], dag: Mapping[str, Any], known: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Name of each stage, and the argument that each of its fields takes.

    Args:
        spec: the compiled pipeline.
        dag: a DAG of the pipeline.
        known: argument of the pipeline behind each input of the DAG.
    """
    for task in dag["tasks"].values():
        inputs = task.get("inputs", {}).get("parameters", {})
        given = {
            name: known[source["componentInputParameter"]]
            for name, source in inputs.items()
            if source.get("componentInputParameter") in known
        }
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            yield from _reached(spec, component["dag"], given)
        elif stage := _stage_of(spec, component):
            yield stage, given


def _stage_of(spec: Mapping[str, Any], component: Mapping[str, Any]) -> str:
    """Stage that a component runs, by the command of its container; '' for a component of another project."""
    executor = spec["deploymentSpec"]["executors"].get(component.get("executorLabel", ""), {})
    *program, command = executor.get("container", {}).get("command") or [""]
    name = command.replace("-", "_")
    return name if program == POD_COMMAND and name in stage_names() else ""
