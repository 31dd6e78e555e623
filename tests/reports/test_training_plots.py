"""The section on training of the evaluation report."""

import re
from typing import Any

import pytest

from ncf.reports.training_plots import training_sections

SELECTION = [{"epoch": n, "loss": 0.5, "hr_at_10": 0.4, "ndcg_at_10": 0.2} for n in (1, 2)]


def test_a_model_without_a_history_has_no_such_section() -> None:
    assert training_sections({}) == training_sections({"selection": []}) == []


@pytest.mark.parametrize(
    ("history", "text"),
    [
        (
            {"best_epoch": 2, "final": [{"epoch": 1, "loss": 0.4}]},
            "epoch 2 of 2 has the best.*trained for 2 epochs on training and",
        ),
        (
            {"best_epoch": 0, "final": [], "start": {"hr_at_10": 0.5, "ndcg_at_10": 0.3}},
            "none of 2 epochs.*fused without further",
        ),
    ],
)
def test_it_says_where_the_model_comes_from(history: dict[str, Any], text: str) -> None:
    (section,) = training_sections({"selection": SELECTION, **history})
    assert len(section.charts) == 2
    (paragraph,) = section.text
    assert re.search(text, paragraph)


@pytest.mark.parametrize(
    "history",
    [
        {"selection": 5},
        {"selection": [5]},
        {"selection": [{"epoch": 1}]},
        {"selection": [{**SELECTION[0], "loss": "x"}]},
        {"selection": SELECTION, "final": [None]},
        {"selection": SELECTION, "start": 1},
        {"selection": SELECTION, "best_epoch": []},
        {"selection": SELECTION, "best_epoch": 10**400},
    ],
)
def test_a_history_of_another_kind_gives_no_such_section(history: dict[str, Any]) -> None:
    assert training_sections(history) == []
