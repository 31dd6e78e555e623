"""Arguments of a pipeline, as a command line gives them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

from components.compiling.parameters_check import check_parameters, names_in_pipeline
from ncf.errors import InputError

_BEFORE_ASSIGNMENT = re.compile(r"\s+(?=\w+=)")
_OVERRIDE = re.compile(r"^parameter '\w+_overrides'(?:: | has )(?='\w+' is )")


def parse_arguments(assignments: Sequence[str], pipeline: Any) -> dict[str, Any]:
    """``NAME=VALUE`` texts as arguments of a pipeline.

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
    carriers, renamed = _carriers(inputs), names_in_pipeline(pipeline.pipeline_spec)
    arguments: dict[str, Any] = {}
    overrides: dict[str, dict[str, Any]] = {}
    given: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"parameter '{assignment}': expected NAME=VALUE")
        own = next(iter(renamed[name].values())) if name in carriers and name in renamed else name
        if own in given:
            also = f", also as '{given[own]}'" if given[own] != name else ""
            raise InputError(f"parameter '{name}' is given twice{also}; expected one value")
        given[own] = name
        if own in inputs:
            arguments[own] = _typed(name, text, inputs[own].type)
        elif name in carriers:
            for carrier in carriers[name]:
                overrides.setdefault(carrier, {})[name] = json_or_text(text)
        else:
            hint = _other_names(name, renamed.get(name, {})) or _hint(name, [*inputs, *carriers])
            raise InputError(f"'{name}' is not a parameter of the pipeline; {hint}")
    for carrier, values in overrides.items():
        arguments[carrier] = {**arguments.get(carrier, {}), **values}
    try:
        check_parameters(pipeline.pipeline_spec, arguments)
    except InputError as error:
        raise InputError(_OVERRIDE.sub("parameter ", str(error))) from None
    return arguments


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


def _carriers(inputs: Container[str]) -> dict[str, list[str]]:
    """Parameters of training, its job and the endpoint, and the pipeline's ``inputs`` that carry them."""
    from ncf.sagemaker.hosting.settings import EndpointSettings
    from ncf.sagemaker.training.settings import JobSettings
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
    """Value of a text in JSON; the text itself where it is not JSON."""
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
    return _as_float(name, value) if kfp_type == "Float" else value


def _as_float(name: str, value: float) -> float:
    """A number as a float: KFP's local runner refuses the whole number 4 for a parameter of type float."""
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"parameter '{name}' is too large; expected a number below 1.8e308") from None
