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


def test_the_whole_catalogue_comes_first_with_its_intervals() -> None:
    figures = {"full_ndcg_at_10": 0.05, "full_hr_at_10": 0.1, "ndcg_at_10": 0.4, "hr_at_10": 0.7}
    bounds = {"full_ndcg_at_10_low": 0.04, "full_ndcg_at_10_high": 0.06}
    others = {f"sparse_ease_{name}": value / 2 for name, value in figures.items()}
    table = summary._quality({"candidates": 50.0, **figures, **bounds, **others, "champion_ndcg_at_10": 0.3})
    assert [column.header for column in table.columns] == [
        "",
        "NDCG@10\nwhole catalogue",
        "HR@10\nwhole catalogue",
        "NDCG@10\namong 50 drawn items",
        "HR@10\namong 50 drawn items",
    ]
    assert list(zip(*(column.cells for column in table.columns))) == [
        ("this model", "0.0500 (0.0400 to 0.0600)", "0.1000", "0.4000", "0.7000"),
        ("champion", "", "", "0.3000", ""),
        ("sparse EASE", "0.0250", "0.0500", "0.2000", "0.3500"),
    ]


def test_a_user_with_few_items_left_does_not_cut_the_lists_of_others() -> None:
    lists = {"u1": ["a", "b", "c"], "u2": [], "u3": ["a"]}
    table = summary._top([{"user": user, "items": [{"item": item} for item in items]} for user, items in lists.items()])
    assert [list(column.cells) for column in table.columns] == [["a", "b", "c"], ["", "", ""], ["a", "", ""]]
