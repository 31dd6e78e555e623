"""Arguments of a pipeline, as a command line gives them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Container, Sequence
from typing import Any

from components.compiling.parameters_check import check_parameters
from ncf.errors import InputError

_OVERRIDE = re.compile(r"^parameter '\w+_overrides'(?:: | has )(?='\w+' is )")


def parse_arguments(assignments: Sequence[str], pipeline: Any) -> dict[str, Any]:
    """``NAME=VALUE`` texts as arguments of a pipeline.

    A name is a pipeline parameter's (``train_epochs``), or, where the pipeline has ``train_overrides`` and
    ``deploy_overrides``, one of training's, its job's or the endpoint's own (``dropout``, ``spot_instance``,
    ``keep_versions``), which then travels in these.

    Args:
        assignments: as on the command line.
        pipeline: what ``dsl.pipeline`` makes of a function.

    Raises:
        InputError: that names what is unknown or of a wrong type, and what there is.
    """
    inputs = pipeline.component_spec.inputs or {}
    carriers = _carriers(inputs)
    arguments: dict[str, Any] = {}
    overrides: dict[str, dict[str, Any]] = {}
    given: set[str] = set()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"parameter '{assignment}': expected NAME=VALUE")
        if name in given:
            raise InputError(f"parameter '{name}' is given twice; expected one value")
        given.add(name)
        if name in inputs:
            arguments[name] = _typed(name, text, inputs[name].type)
        elif name in carriers:
            for carrier in carriers[name]:
                overrides.setdefault(carrier, {})[name] = json_or_text(text)
        else:
            raise InputError(f"'{name}' is not a parameter of the pipeline; {_hint(name, [*inputs, *carriers])}")
    for carrier, values in overrides.items():
        arguments[carrier] = {**arguments.get(carrier, {}), **values}
    try:
        check_parameters(pipeline.pipeline_spec, arguments)
    except InputError as error:
        raise InputError(_OVERRIDE.sub("parameter ", str(error))) from None
    return arguments


def _hint(name: str, known: Collection[str]) -> str:
    """Which of the known names may be meant: those that are written like it, or that end with it."""
    longer = [other for other in sorted(known) if other.endswith(f"_{name}")]
    close = [*longer, *difflib.get_close_matches(name, known, n=3)]
    if close:
        return f"did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?"
    nearest = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0))
    return (
        f"the nearest are {nearest}; components/README.md lists the parameters of the pipeline, "
        "'ncf train --help' and 'ncf deploy --help' the others"
    )


def _carriers(inputs: Container[str]) -> dict[str, list[str]]:
    """Parameters of training, its job and the endpoint, and which of the pipeline's ``inputs`` carry them."""
    from ncf.sagemaker.settings import EndpointSettings, JobSettings
    from ncf.training.hyperparameters import Hyperparameters, WarmStart

    settings = {
        "train_overrides": {*Hyperparameters.model_fields, *WarmStart.model_fields, *JobSettings.model_fields},
        "deploy_overrides": {*EndpointSettings.model_fields},
    }
    carried = {carrier: fields for carrier, fields in settings.items() if carrier in inputs}
    of_the_pipeline = {"region", "role", "s3_prefix", "run_id"}  # under other names, or from KFP
    names = sorted(set().union(*carried.values()) - of_the_pipeline)
    return {name: [carrier for carrier, fields in carried.items() if name in fields] for name in names}


def json_or_text(text: str) -> Any:
    """What a text says in JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _typed(name: str, text: str, kfp_type: str) -> Any:
    accepted: dict[str, tuple[type, ...]] = {
        "Integer": (int,),
        "Float": (int, float),
        "Boolean": (bool,),
        "Dict": (dict,),
        "List": (list,),
    }
    if kfp_type not in accepted:
        return text
    value = json_or_text(text)
    if not isinstance(value, accepted[kfp_type]) or (isinstance(value, bool) and kfp_type != "Boolean"):
        words = {
            "Integer": "a whole number",
            "Float": "a number",
            "Boolean": "true or false",
            "Dict": "a JSON object",
        }
        raise InputError(f"parameter '{name}' is '{text}'; expected {words.get(kfp_type, kfp_type)}")
    return value
