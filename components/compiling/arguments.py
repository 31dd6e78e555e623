"""Arguments of a pipeline, as a command line gives them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.compiling.parameters_check import check_parameters, names_in_pipeline
from ncf.errors import InputError
from ncf.parameters import read

_TYPES: Mapping[str, type] = {"Integer": int, "Float": float, "Boolean": bool, "Dict": dict, "List": list}
"""KFP's types of a pipeline's inputs; all others are text."""
_BEFORE_ASSIGNMENT = re.compile(r"\s+(?=\w+=)")
_OVERRIDE = re.compile(r"^parameter '\w+_overrides'(?:: | has )(?='\w+' is )")


def parse_arguments(assignments: Sequence[str], pipeline: Any) -> dict[str, Any]:
    """``NAME=VALUE`` texts as arguments of a pipeline, checked by its stages.

    Args:
        assignments: as on the command line; see :func:`typed_arguments`.
        pipeline: a ``dsl.pipeline``.

    Raises:
        InputError: that names the parameter at fault, and what is accepted.
    """
    arguments = typed_arguments(assignments, pipeline)
    check_arguments(arguments, pipeline)
    return arguments


def check_arguments(arguments: Mapping[str, Any], pipeline: Any) -> None:
    """Refuse arguments that a stage of a pipeline would refuse later.

    Raises:
        InputError: that names the parameter at fault, and what is accepted.
    """
    try:
        check_parameters(pipeline.pipeline_spec, arguments)
    except InputError as error:
        raise InputError(_OVERRIDE.sub("parameter ", str(error))) from None


def typed_arguments(assignments: Sequence[str], pipeline: Any) -> dict[str, Any]:
    """``NAME=VALUE`` texts as arguments of a pipeline, of the types of its inputs.

    Names are parameters of the pipeline (``train_epochs``). Other names are settings of training, of its job or of the
    endpoint: ``epochs`` means ``train_epochs``, and ``dropout``, ``spot_instance`` or ``keep_versions`` are passed in
    ``train_overrides`` and ``deploy_overrides``.

    Args:
        assignments: as on the command line.
        pipeline: a ``dsl.pipeline``.

    Raises:
        InputError: that names the parameter at fault, and what is accepted.
    """
    inputs = pipeline.component_spec.inputs or {}
    settings, renamed = _settings(inputs), names_in_pipeline(pipeline.pipeline_spec)
    arguments: dict[str, Any] = {}
    overrides: dict[str, dict[str, Any]] = {}
    given: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"parameter '{assignment}': expected NAME=VALUE")
        if name != name.strip():  # blanks around the sign
            name, text = name.strip(), text.strip()
        own = _own_name(name, settings, renamed)
        if own in given:
            also = f", also as '{given[own]}'" if given[own] != name else ""
            raise InputError(f"parameter '{name}' is given twice{also}; expected one value")
        given[own] = name
        if own in inputs:
            arguments[own] = _typed(name, text, _TYPES.get(inputs[own].type, str))
        elif name in settings:
            value = _typed(name, text, settings[name].annotation)
            for carrier in settings[name].carriers:
                overrides.setdefault(carrier, {})[name] = value
        else:
            hint = _other_names(name, renamed.get(name, {})) or _hint(name, [*inputs, *settings])
            raise InputError(f"'{name}' is not a parameter of the pipeline; {hint}")
    _check_overrides(arguments, given, settings, renamed)
    for carrier, values in overrides.items():
        arguments[carrier] = {**arguments.get(carrier, {}), **values}
    return arguments


def _own_name(name: str, settings: Container[str], renamed: Mapping[str, Mapping[str, str]]) -> str:
    """Parameter of the pipeline that a name means; the name itself for a setting without one."""
    return next(iter(renamed[name].values())) if name in settings and name in renamed else name


def _check_overrides(
    arguments: Mapping[str, Any],
    given: Mapping[str, str],
    settings: Mapping[str, _Setting],
    renamed: Mapping[str, Mapping[str, str]],
) -> None:
    """Refuse settings that are given by their names and in an object of overrides.

    Args:
        arguments: of the pipeline, with the objects as they were given.
        given: names on the command line, by the parameter of the pipeline or the setting.
        settings: that the objects carry.
        renamed: names in the pipeline of the stages' parameters.

    Raises:
        InputError: that names both.
    """
    for carrier in {carrier for setting in settings.values() for carrier in setting.carriers} & arguments.keys():
        for name in arguments[carrier]:
            own = _own_name(name, settings, renamed)
            if own in given:
                raise InputError(
                    f"parameter '{given[own]}' is given twice, also as '{name}' in '{carrier}'; expected one value"
                )


def split_assignments(text: str) -> list[str]:
    """``NAME=VALUE`` texts of one text, separated by blanks; a value may hold blanks: ``tower=[64, 32] epochs=5``."""
    return _BEFORE_ASSIGNMENT.split(text.strip()) if text.strip() else []


def _other_names(name: str, names: Mapping[str, str]) -> str:
    """What a stage's parameter is called in the pipeline, by stage; '' for a name that no stage has."""
    if not names:
        return ""
    names = dict(sorted(names.items()))
    stages, parameters = " and ".join(names), " or ".join(f"'{other}'" for other in dict.fromkeys(names.values()))
    return f"'{name}' is a parameter of the component{'s' if len(names) > 1 else ''} {stages}; here it is {parameters}"


def _hint(name: str, known: Collection[str]) -> str:
    """Known names that end with a name, or are written like it."""
    longer = [other for other in sorted(known) if other.endswith(f"_{name}")]
    close = [*longer, *difflib.get_close_matches(name, known, n=3)]
    if close:
        return f"did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?"
    nearest = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0))
    return (
        f"the nearest are {nearest}; components/README.md lists the parameters of the pipeline, "
        "'ncf train --help' and 'ncf deploy --help' the others"
    )


@dataclass(frozen=True)
class _Setting:
    """Parameter of training, its job or the endpoint that the pipeline has no input for.

    Attributes:
        annotation: its type.
        carriers: inputs of the pipeline that carry it.
    """

    annotation: Any
    carriers: list[str]


def _settings(inputs: Container[str]) -> dict[str, _Setting]:
    """Parameters of training, its job and the endpoint that the pipeline's ``inputs`` carry, by name."""
    from ncf.sagemaker.hosting.settings import EndpointSettings
    from ncf.sagemaker.training.settings import JobSettings
    from ncf.training.hyperparameters import Hyperparameters, WarmStart

    fields = {
        "train_overrides": Hyperparameters.model_fields | WarmStart.model_fields | JobSettings.model_fields,
        "deploy_overrides": EndpointSettings.model_fields,
    }
    carried = {carrier: of_carrier for carrier, of_carrier in fields.items() if carrier in inputs}
    of_the_pipeline = {"region", "role", "s3_prefix", "run_id"}  # under other names, or from KFP
    types = {name: field.annotation for of_carrier in carried.values() for name, field in of_carrier.items()}
    return {
        name: _Setting(types[name], [carrier for carrier, of_carrier in carried.items() if name in of_carrier])
        for name in sorted(types.keys() - of_the_pipeline)
    }


def _typed(name: str, text: str, annotation: Any) -> Any:
    try:
        return read(text, annotation)
    except ValueError as error:
        raise InputError(f"parameter '{name}' is '{text}'; {error}") from None
