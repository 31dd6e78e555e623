"""Docstrings that are shown to users, also under ``python -OO``, which removes them from classes and modules."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType


def documentation(subject: type | ModuleType) -> str:
    """Docstring of a class or module, read from its source where it was removed; '' without one."""
    if subject.__doc__:
        return inspect.cleandoc(subject.__doc__)
    try:
        tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(subject)))
    except (OSError, TypeError):  # its source is not a file
        return ""
    if isinstance(tree, ast.Module) and isinstance(subject, type):
        tree = tree.body[0]
    return ast.get_docstring(tree) or "" if isinstance(tree, (ast.Module, ast.ClassDef)) else ""


def summary(subject: type | ModuleType) -> str:
    """First line of the docstring."""
    return documentation(subject).partition("\n")[0]
