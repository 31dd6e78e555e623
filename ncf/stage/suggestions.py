"""Suggestions for misspelt names of commands and options."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence


def close_name(name: str, known: Collection[str]) -> str:
    """The known name that is written most like a name; '' if none is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), "")


def unrecognized(arguments: Sequence[str], known: Collection[str]) -> str:
    """A message about arguments that no option takes, with the options that may be meant.

    Args:
        arguments: of the command line, options and values.
        known: all options, such as ``--epochs``.
    """
    options = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    meant = {option: name for option in options if (name := close_name(option, known))}
    names = [*meant.values()] if len(meant) < 2 else [f"{name} for {option}" for option, name in meant.items()]
    hint = f"; did you mean {', '.join(names)}?" if names else ""
    return f"unrecognized arguments: {' '.join(arguments)}{hint}"
