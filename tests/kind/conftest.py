"""The files of ``.github/kind``, which are in no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
KIND = ROOT / ".github" / "kind"


def load(name: str) -> ModuleType:
    """A script of that folder as a module."""
    spec = importlib.util.spec_from_file_location(f"kind_{name}", KIND / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def package() -> ModuleType:
    return load("package")


@pytest.fixture(scope="session")
def verify() -> ModuleType:
    return load("verify")
