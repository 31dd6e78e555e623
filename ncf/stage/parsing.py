"""Parsing of a stage: from the command line, or from the executor input of a pod."""

from __future__ import annotations

import json
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from ncf.errors import InputError
from ncf.parameters import read
from ncf.stage.declaration import FinalStatus, Stage
from ncf.stage.executor_input import EXECUTOR_INPUT, ExecutorInput
from ncf.stage.pipeline_names import names_in_pipeline
from ncf.stage.suggestions import unrecognized

_UNRECOGNIZED = "unrecognized arguments: "
"""Beginning of argparse's message."""


def parse(command: type[Stage], arguments: Sequence[str], called: str = "") -> Stage:
    """An instance from ``--flag value`` arguments.

    Args:
        called: what help and errors call the command; '' for its name.

    Raises:
        InputError: that names each parameter at fault, its value, and what is accepted.
        SystemExit: for ``--help``.
    """
    name = called or command.command_name()
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            command,
            cli_prog_name=f"ncf {name}",
            cli_kebab_case=True,
            cli_hide_none_type=True,
            cli_exit_on_error=False,
        )
        _add_pipeline_names(source.root_parser, command)
        if other := command.alternative:
            group = source.root_parser.add_argument_group(
                f"instead of all this (see 'ncf {name} {other.flag} X --help')"
            )
            group.add_argument(other.flag, metavar=other.value, default=SUPPRESS, help=other.description)
        source(args=_in_json(command, arguments))
        return command(**source())
    except SettingsError as error:
        reason = str(error).removeprefix("error parsing CLI: ")
        if reason.startswith(_UNRECOGNIZED):
            reason = unrecognized(reason.removeprefix(_UNRECOGNIZED).split(), source.root_parser._option_string_actions)
        raise InputError(f"{name}: {reason}; 'ncf {name} --help' lists the parameters") from None
    except ValidationError as error:
        raise InputError("; ".join(_explain(name, entry) for entry in error.errors())) from None


def _in_json(command: type[Stage], arguments: Sequence[str]) -> list[str]:
    """Arguments with lists and objects in JSON, which the parser reads.

    Raises:
        SettingsError: that names the parameter at fault and what is accepted.
    """
    kinds = {
        f"--{name.replace('_', '-')}": field.annotation
        for name, field in command.parameters().items()
        if (get_origin(field.annotation) or field.annotation) in (list, dict)
    }
    made: list[str] = []
    flag = ""
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if flag:
            made.append(_json_of(flag, argument, kinds[flag]))
            flag = ""
        elif name in kinds and equals:
            made.append(f"{name}={_json_of(name, text, kinds[name])}")
        else:
            made.append(argument)
            flag = argument if argument in kinds else ""
    return made


def _json_of(flag: str, text: str, annotation: Any) -> str:
    try:
        return json.dumps(read(text, annotation))
    except ValueError as error:
        raise SettingsError(f"parameter '{flag[2:].replace('-', '_')}' is {text!r}: {error}") from None


def _add_pipeline_names(parser: ArgumentParser, command: type[Stage]) -> None:
    """Add the names that parameters have in the pipeline to the help, where they differ."""
    names = names_in_pipeline(command.command_name())
    for action in parser._actions:
        if name := names.get(action.dest.replace("-", "_")):
            action.help = f"{action.help} (in the pipeline: {name})"


def from_executor_input(command: type[Stage], executor_input: ExecutorInput) -> Stage:
    """An instance from the executor input of a pod.

    Raises:
        InputError: that names each parameter at fault, its value, and what is accepted.
    """
    artifacts = {**command.inputs(), **command.outputs()}
    if missing := [name for name in command.outputs() if name not in executor_input.paths]:
        raise InputError(f"{command.command_name()}: {EXECUTOR_INPUT} names no path for the output '{missing[0]}'")
    if strange := [name for name in executor_input.parameters if name in artifacts]:
        raise InputError(f"{command.command_name()}: '{strange[0]}' is an artifact, but is given as a parameter")
    paths = {name: path for name, path in executor_input.paths.items() if name in artifacts}
    values = {
        name: json.dumps(value) if _is_final_status(command, name) and not isinstance(value, str) else value
        for name, value in executor_input.parameters.items()
    }
    try:
        return command(**values, **paths)
    except ValidationError as error:
        raise InputError("; ".join(_explain(command.command_name(), entry) for entry in error.errors())) from None


def _is_final_status(command: type[Stage], parameter: str) -> bool:
    """Whether KFP passes a parameter as an object, which the stage takes as JSON."""
    field = command.model_fields.get(parameter)
    return field is not None and field.annotation is FinalStatus


def _explain(command: str, error: Any) -> str:
    """One line for one invalid parameter."""
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{command}: --{field.replace('_', '-')} is required"
    message = error["msg"].removeprefix("Value error, ")
    if not field:
        return f"{command}: {message}"
    message = message[0].lower() + message[1:]
    return f"{command}: parameter '{field}' is {error['input']!r}: {message}"
