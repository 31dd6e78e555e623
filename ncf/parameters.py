"""Values of parameters: one function reads them from command lines, forms, KFP and SageMaker."""

from __future__ import annotations

import ast
import json
import math
import re
import typing
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list such as [64, 32] or 64,32",
    dict: 'a JSON object such as {"name": 1}',
}
"""What is accepted for each type, in words."""
_BOOLS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
_NAMES = {"true": True, "false": False, "null": None, "none": None}
"""Words of JSON and YAML for constants, in lower case."""
_SEPARATORS = re.compile(r"\s*,\s*|\s+")


class Parameters(BaseModel):
    """Base of models whose fields are parameters: each value is read by :func:`read`."""

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read(value, cls.model_fields[info.field_name or ""].annotation)


def read(value: Any, annotation: Any) -> Any:
    """Value of a parameter's type.

    KFP passes whole numbers as floats, floats as whole numbers, and what a form has no type for as text. SageMaker
    passes all values as text. People write lists and objects in JSON or Python, lists without brackets, and objects as
    ``name=value,name=value``. Numbers and booleans in an object of texts become texts.

    Args:
        value: of any type.
        annotation: type of the parameter. Text and types other than those of ``EXPECTED`` stay as they are.

    Raises:
        ValueError: if the value is none of this type. The message says what is accepted.
    """
    kind = typing.get_origin(annotation) or annotation
    if kind not in EXPECTED:
        return value
    text = unquoted(value).strip() if isinstance(value, str) else value
    try:
        found = _READERS[kind](text)
        if kind is list:
            return [read(element, typing.get_args(annotation)[0]) for element in found]
        if typing.get_args(annotation) == (str, str):
            return {name: _text(content) for name, content in found.items()}
        return found
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        raise ValueError(f"expected {EXPECTED[kind]}") from None


def unquoted(text: str) -> str:
    """Content of a JSON string; any other text as it is."""
    if not text.strip().startswith('"'):
        return text
    try:
        content = json.loads(text)
    except ValueError:
        return text
    return content if isinstance(content, str) else text


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        if (word := value.lower()) not in _BOOLS:
            raise ValueError(value)
        return _BOOLS[word]
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _int(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _list(value: Any) -> list[Any]:
    if not isinstance(value, str):
        if isinstance(value, list | tuple):
            return list(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [value]
        raise TypeError
    if value[:1] in ("[", "("):
        found = _literal(value)
        return list(found) if isinstance(found, list | tuple) else [found]
    return [_element(part) for part in _SEPARATORS.split(value)] if value else []


def _element(text: str) -> Any:
    try:
        return _literal(text)
    except (ValueError, SyntaxError):
        return text


def _dict(value: Any) -> dict[Any, Any]:
    found = value
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        is_pairs = not value.startswith("{") and all(equals for _, equals, _ in pairs)
        found = {name.strip(): text.strip() for name, _, text in pairs} if is_pairs else _literal(value)
    if not isinstance(found, dict):
        raise TypeError
    return found


def _text(value: Any) -> Any:
    """Text of a number or boolean as people write it; any other value as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value) if float(value).is_integer() else value)
    return value


def _literal(text: str) -> Any:
    """Value of a text in JSON, or in Python's literals; unquoted words are constants of JSON, or text."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError:
        return _of_node(ast.parse(text, mode="eval").body)


def _no_number(name: str) -> Any:
    raise TypeError(f"{name} is no number")


def _of_node(node: ast.expr) -> Any:
    match node:
        case ast.Dict(keys=keys, values=values):
            return {_of_node(typing.cast("ast.expr", k)): _of_node(v) for k, v in zip(keys, values, strict=True)}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_of_node(element) for element in elements]
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name):
            return _NAMES.get(name.lower(), name)
    raise ValueError("not a literal")


_READERS: dict[Any, Any] = {bool: _bool, int: _int, float: _float, list: _list, dict: _dict}
