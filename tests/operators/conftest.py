from __future__ import annotations

import pytest
from account_fixtures import set_environment
from fake_account import Account

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
