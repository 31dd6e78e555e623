"""Findings of ``ncf doctor``, read from its output."""

from __future__ import annotations

from typing import Any

import pytest
from fake_account import ROLE

from ncf.errors import RemoteError
from ncf.operators.doctor import Doctor


def lines_of(output: str) -> dict[str, tuple[str, str]]:
    """Verdict and finding of each check."""
    lines = [line for line in output.splitlines() if line[:8].strip() in ("ok", "FAILED", "skipped")]
    return {line[8:22].strip(): (line[:8].strip(), line[22:]) for line in lines}


def examined(capsys: pytest.CaptureFixture[str], **settings: Any) -> dict[str, tuple[str, str]]:
    """The findings of a doctor whose checks pass or are skipped."""
    Doctor(**{"train_role": ROLE, **settings}).run()
    return lines_of(capsys.readouterr().out)


def failure(capsys: pytest.CaptureFixture[str], check: str, **settings: Any) -> str:
    """The finding of the one check that fails, while all others pass."""
    with pytest.raises(RemoteError, match=rf"^1 of \d checks failed: {check}$"):
        Doctor(**{"train_role": ROLE, **settings}).run()
    lines = lines_of(capsys.readouterr().out)
    assert {name for name, (verdict, _) in lines.items() if verdict != "ok"} == {check}
    assert lines[check][0] == "FAILED"
    return lines[check][1]
