"""Ranges of hyperparameters, in people's form and in that of the API.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_SCALES = {
    "auto": "Auto",
    "linear": "Linear",
    "logarithmic": "Logarithmic",
    "reverse_logarithmic": "ReverseLogarithmic",
}
_TYPES = ("integer", "continuous")
EXPECTED = (
    "expected [min, max] of two numbers, a list of values, or {'min': ..., 'max': ..., 'type': 'integer' or "
    "'continuous', 'scale': 'auto', 'linear', 'logarithmic' or 'reverse_logarithmic'}, or {'values': [...]}"
)
MAX_RANGES = 30


def parameter_ranges(given: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """``ParameterRanges`` of the API.

    Two whole numbers are a range of integers, as KFP does not tell 1 from 1.0.

    Args:
        given: range of each hyperparameter, in the form of :data:`EXPECTED`.

    Raises:
        ValueError: that names the hyperparameter at fault, and what is accepted.
    """
    found: dict[str, list[dict[str, Any]]] = {
        f"{kind}ParameterRanges": [] for kind in ("Integer", "Continuous", "Categorical")
    }
    for name, value in given.items():
        kind, entry = _range(name, value)
        found[f"{kind}ParameterRanges"].append({"Name": name, **entry})
    return found


def _range(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, list):
        is_range = len(value) == 2 and all(map(_is_number, value))
        value = {"min": value[0], "max": value[1]} if is_range else {"values": value}
    if not isinstance(value, dict):
        raise ValueError(f"'{name}' is {value!r}; {EXPECTED}")
    if set(value) == {"values"} and isinstance(value["values"], list) and value["values"]:
        return "Categorical", {"Values": [_text(entry) for entry in value["values"]]}
    if set(value) - {"min", "max", "type", "scale"} or not all(_is_number(value.get(key)) for key in ("min", "max")):
        raise ValueError(f"'{name}' is {value!r}; {EXPECTED}")
    low, high = float(value["min"]), float(value["max"])
    is_whole = low.is_integer() and high.is_integer()
    kind, scale = value.get("type") or ("integer" if is_whole else "continuous"), value.get("scale", "auto")
    if kind not in _TYPES or scale not in _SCALES:
        raise ValueError(f"'{name}' is {value!r}; {EXPECTED}")
    if is_whole and high - low <= 1 and "type" not in value:
        raise ValueError(f"'{name}' is {value!r}, of integers or reals: add 'type', 'integer' or 'continuous'")
    _check(name, value, kind, low, high, scale)
    if kind == "integer":
        return "Integer", {"MinValue": str(int(low)), "MaxValue": str(int(high)), "ScalingType": _SCALES[scale]}
    return "Continuous", {"MinValue": repr(low), "MaxValue": repr(high), "ScalingType": _SCALES[scale]}


def _check(name: str, value: Any, kind: str, low: float, high: float, scale: str) -> None:
    """
    Raises:
        ValueError: for a range that SageMaker refuses.
    """
    if kind == "integer" and not (low.is_integer() and high.is_integer()):
        raise ValueError(f"'{name}' is {value!r}: 'min' and 'max' of integers are whole numbers")
    if low > high:
        raise ValueError(f"'{name}' is {value!r}: 'min' may not exceed 'max'")
    if scale == "logarithmic" and low <= 0:
        raise ValueError(f"'{name}' is {value!r}: the scale 'logarithmic' is for values above 0")
    if scale == "reverse_logarithmic" and (kind == "integer" or not 0 <= low <= high < 1):
        raise ValueError(f"'{name}' is {value!r}: the scale 'reverse_logarithmic' is for reals from 0 to below 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def combinations(ranges: Mapping[str, list[dict[str, Any]]]) -> int:
    """Number of combinations of categorical ranges, each of which the strategy Grid tries."""
    return math.prod(len(entry["Values"]) for entry in ranges["CategoricalParameterRanges"])
