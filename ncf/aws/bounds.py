"""Bounds of API requests, from AWS's own service model: lengths, numbers, patterns and lists of values.

botocore checks types and required members only. SageMaker checks the bounds when it receives a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from botocore.model import Shape

from ncf.aws.session import Aws
from ncf.errors import InputError

_CLASSES = {
    r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{Alnum}": "a-zA-Z0-9",
    **dict.fromkeys((r"\p{M}", r"\p{S}", r"\p{P}"), r"\W"),
}  # fmt: skip
"""Character classes of Java's patterns, in Python's; more characters match."""
_LENGTH_AFTER_END = re.compile(r"\$\{\d+,\d+\}$")
"""What the patterns of CustomerMetadataProperties end with, which is no valid pattern. The length is checked anyway."""
_SHOWN_VALUES = 5
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Violation:
    """A value that AWS does not accept.

    Attributes:
        path: of the value in the request, such as ``VpcConfig.Subnets``, without the indices of lists.
        value: the value.
        accepted: the values that AWS accepts, in words.
    """

    path: str
    value: Any
    accepted: str


def check_request(aws: Aws, operation: str, request: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    """Refuse a request that SageMaker would refuse, before any call.

    Args:
        aws: whose service model is read; nothing is called.
        operation: such as ``CreateModel``.
        request: arguments of the operation.
        parameters: path in the request -> the parameter that it is made of.

    Raises:
        InputError: for the first violation. The message names the parameter, the value and what is accepted.
    """
    model = aws.client("sagemaker").meta.service_model.operation_model(operation)
    for violation in violations(model.input_shape, request):
        parameter = next((parameters[path] for path in _paths(violation.path) if path in parameters), "")
        where = f"parameter '{parameter}'" if parameter else f"{violation.path} of {operation}"
        shown = repr(violation.value)
        shown = f"{shown[:_SHOWN_CHARACTERS]}..." if len(shown) > _SHOWN_CHARACTERS else shown
        raise InputError(f"{where} is {shown}: AWS accepts {violation.accepted}")


def _paths(path: str) -> Iterator[str]:
    """A path and those that it lies in, the longest first."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def violations(shape: Shape, value: Any, path: str = "") -> Iterator[Violation]:
    """Values in a request that are out of bounds.

    Args:
        shape: of the value, in AWS's service model.
        value: the request, or a part of it.
        path: of that part; '' for the whole.
    """
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from violations(member, value[name], f"{path}.{name}" if path else name)
        return
    if accepted := _bound(shape, value):
        yield Violation(path, value, accepted)
    elif shape.type_name == "list":
        for entry in value:
            yield from violations(shape.member, entry, path)
    elif shape.type_name == "map":
        for key, entry in value.items():
            yield from violations(shape.key, key, path)
            yield from violations(shape.value, entry, f"{path}.{key}")


def _bound(shape: Shape, value: Any) -> str:
    """The bound that a value is out of, in words; '' if it is within all."""
    if shape.type_name in ("boolean", "timestamp", "blob"):
        return ""
    lowest, highest = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("integer", "long", "float", "double"):
        measured, unit = value, ""
    else:
        measured, unit = len(value), " characters" if shape.type_name == "string" else " entries"
    if highest is not None and measured > highest:
        return f"at most {highest}{unit}"
    if lowest is not None and measured < lowest:
        return f"at least {lowest}{unit}"
    return _bound_of_text(shape, value) if shape.type_name == "string" else ""


def _bound_of_text(shape: Shape, value: str) -> str:
    allowed, pattern = shape.enum, str(shape.metadata.get("pattern", ""))
    if allowed and value not in allowed:
        similar = get_close_matches(value, allowed, n=_SHOWN_VALUES, cutoff=0.0)
        return f"one of {len(allowed)} values, such as {', '.join(similar)}"
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    pattern = _LENGTH_AFTER_END.sub("", pattern)
    return f"what matches {pattern}" if pattern and not re.fullmatch(pattern, value) else ""
