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


def test_a_user_with_few_items_left_does_not_cut_the_lists_of_others() -> None:
    lists = {"u1": ["a", "b", "c"], "u2": [], "u3": ["a"]}
    table = summary._top([{"user": user, "items": [{"item": item} for item in items]} for user, items in lists.items()])
    assert [list(column.cells) for column in table.columns] == [["a", "b", "c"], ["", "", ""], ["a", "", ""]]
