"""Overrides: settings that a dict parameter of a stage gives by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ncf.stage.declaration import Stage


def overridden(stage: Stage, parameter: str, *kinds: type[BaseModel]) -> tuple[BaseModel, ...]:
    """Models of a stage's fields, with the values that one of its parameters overrides by name.

    Args:
        stage: has the fields of all the models.
        parameter: a dict parameter of the stage.
        kinds: classes of the models, which share no field.

    Raises:
        ValueError: that names the override at fault and what is accepted.
    """
    names = {name: name for kind in kinds for name in kind.model_fields}
    values = {name: getattr(stage, name) for name in names}
    return with_overrides(values, names, parameter, getattr(stage, parameter), *kinds)


def with_overrides(
    values: Mapping[str, Any],
    names: Mapping[str, str],
    parameter: str,
    overrides: Mapping[str, Any],
    *kinds: type[BaseModel],
) -> tuple[BaseModel, ...]:
    """Models of values, some of them overridden.

    Args:
        values: by the models' fields; those that are missing have their defaults.
        names: of the parameters that gave them, by field.
        parameter: that gave the overrides.
        overrides: by field.
        kinds: classes of the models, which share no field.

    Raises:
        ValueError: that names the parameter or the override at fault and what is accepted.
    """
    known = {name for kind in kinds for name in kind.model_fields}
    if unknown := [name for name in overrides if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(sorted(known))}"
        raise ValueError(f"parameter '{parameter}' has '{unknown[0]}', which cannot be set there; {hint}")
    chosen = {**values, **overrides}
    made = []
    for kind in kinds:
        try:
            made.append(kind(**{name: chosen[name] for name in kind.model_fields if name in chosen}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            if field in names and field not in overrides:
                raise ValueError(f"parameter '{names[field]}' is {first['input']!r}: {reason}") from None
            where = f"'{field}' is {first['input']!r}: " if field else ""
            raise ValueError(f"parameter '{parameter}': {where}{reason}") from None
    return tuple(made)
