from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from account_fixtures import set_environment
from fake_account import Account
from runs import left_behind

from ncf.operators.checks import account as checked_account


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS credentials and a region; no proxy."""
    set_environment(monkeypatch)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, environment: None) -> Account:
    """The AWS account of the checks."""
    made = Account()
    monkeypatch.setattr(checked_account, "Aws", made.open)
    return made


@pytest.fixture
def running(account: Any, tmp_path: Path, make_dataset: Callable[..., Path]) -> Iterator[str]:
    """A job whose launcher is gone."""
    with left_behind(account, tmp_path, make_dataset(), f"run-{tmp_path.name}") as job:
        yield job
