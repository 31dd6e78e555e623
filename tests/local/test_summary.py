"""Summary of a run."""

from __future__ import annotations

from pathlib import Path

from components.local import summary


def test_the_checks_of_the_gate_are_plain_text(tmp_path: Path) -> None:
    markdown = (
        "**Gate passed**\n\n- ✅ HR@10 is 0.4 \\(0.3 \\| 0.2\\)\n- ⚠️ EASE ranks better\n\n| model |\n|---|\n| - x |\n"
    )
    (tmp_path / "summary").write_text(markdown)
    assert summary._checks(tmp_path / "summary") == ["HR@10 is 0.4 (0.3 | 0.2)", "EASE ranks better"]
