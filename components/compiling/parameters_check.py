"""A pipeline's arguments against the stages that they reach, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from pydantic import ValidationError

from ncf.errors import InputError
from ncf.stage.command import CHECK, COMPONENTS, EXIT_HANDLER, load

_ANYTHING = "any"
_ANY_ROLE = "arn:aws:iam::123456789012:role/any"


def check_parameters(pipeline_spec: Any, arguments: Mapping[str, Any]) -> None:
    """Find now what a stage would refuse only when its turn has come.

    Args:
        pipeline_spec: the compiled pipeline.
        arguments: those given, by the names of its parameters.

    Raises:
        InputError: that names the parameter at fault and what is accepted.
    """
    spec = json_format.MessageToDict(pipeline_spec)
    reached = list(_reached(spec, spec["root"]["dag"], {name: name for name in arguments}))
    # each stage in its own words, before the one that looks at them together
    for stage_name, given in sorted(reached, key=lambda entry: entry[0] == CHECK):
        stage = load(stage_name.replace("_", "-"))
        values: dict[str, Any] = {
            name: _ANY_ROLE if name.endswith("role") else _ANYTHING
            for name, field in stage.model_fields.items()
            if field.is_required()
        }
        values |= {field: arguments[parameter] for field, parameter in given.items()}
        values |= {  # an artifact, or what is still to be given in its place
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
    """What a stage's parameters that its message names are called in the pipeline; '' where they are called the same.

    Args:
        pipeline_spec: the compiled pipeline.
        stage_name: the stage's command.
        message: of that stage; parameters stand in it in quotation marks, or are words with an underscore.
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
    told = ", ".join(f"'{field}' is '{parameter}'" for field, parameter in names.items())
    return f" (in the pipeline, {told})" if told else ""


def names_in_pipeline(pipeline_spec: Any) -> dict[str, dict[str, str]]:
    """Parameters of stages that have another name in the pipeline: name -> stage's command -> name in the pipeline.

    The check before the first stage and the exit handler only repeat the parameters of others.
    """
    spec = json_format.MessageToDict(pipeline_spec)
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    names: dict[str, dict[str, str]] = {}
    for stage, given in _reached(spec, spec["root"]["dag"], {name: name for name in parameters}):
        for field, parameter in given.items():
            if field != parameter and stage not in (CHECK, EXIT_HANDLER):
                names.setdefault(field, {})[stage.replace("_", "-")] = parameter
    return names


def _reached(
    spec: Mapping[str, Any], dag: Mapping[str, Any], known: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each stage's name and which of its fields take which argument.

    Args:
        spec: the pipeline.
        dag: the part of it to look at.
        known: the pipeline's argument behind each input of that part.
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
        elif (stage := task["componentRef"]["name"].removeprefix("comp-").replace("-", "_")) in COMPONENTS:
            yield stage, given
