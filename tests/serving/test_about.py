"""What the page says about a model: from the model folder alone, whatever it holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from random_model import random_model

from ncf.serving.about import about

HISTORY = {
    "selection": [
        {"epoch": 1, "loss": 0.5, "hr_at_10": 0.5, "ndcg_at_10": 0.25},
        {"hr_at_10": 0.75, "ndcg_at_10": 0.5},
    ],
    "best_epoch": 2,
    "start": {},
    "trained_at": "2026-11-25T10:30:00+01:00",
    "validation": {"positives": 12, "candidates": 99},
}


def about_with(history: dict[str, Any]) -> dict[str, Any]:
    return about(dataclasses.replace(random_model(), history=history, version="3f0c"))


def test_figures_of_a_model() -> None:
    days = np.arange(60, dtype=np.int32)
    model = dataclasses.replace(random_model(), history=HISTORY, version="3f0c", seen_days=days)
    assert about(model) == {
        "model_version": "3f0c",
        "model": "NeuMF",
        "users": 12,
        "items": 40,
        "interactions": 60,
        "first_date": "1970-01-01",
        "last_date": "1970-03-01",
        "trained_at": "2026-11-25T09:30:00+00:00",
        "validation": {"hr_at_10": 0.75, "ndcg_at_10": 0.5, "positives": 12, "candidates": 99},
    }


def test_models_of_earlier_versions_lack_some() -> None:
    figures = about_with({name: HISTORY[name] for name in ("selection", "best_epoch", "start")})
    assert figures.keys() == {"model_version", "model", "users", "items", "interactions", "validation"}
    assert figures["validation"] == {"hr_at_10": 0.75, "ndcg_at_10": 0.5}


def test_the_start_of_a_fit_may_be_best() -> None:
    start = {"hr_at_10": 0.9, "ndcg_at_10": 0.8}
    assert about_with({**HISTORY, "best_epoch": 0, "start": start})["validation"]["hr_at_10"] == 0.9


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"best_epoch": 1},
        {**HISTORY, "selection": []},
        {**HISTORY, "best_epoch": 7},
        {**HISTORY, "best_epoch": -1},
        {**HISTORY, "best_epoch": "<b>"},
        {**HISTORY, "selection": [1, 2]},
        {**HISTORY, "selection": [{}, {"hr_at_10": 7, "ndcg_at_10": 0.5}]},
        {**HISTORY, "selection": [{}, {"hr_at_10": float("nan"), "ndcg_at_10": 0.5}]},
        {**HISTORY, "trained_at": "<b>yesterday</b>"},
    ],
)
def test_a_history_of_another_kind_gives_no_metrics(history: dict[str, Any]) -> None:
    figures = about_with(history)
    assert "validation" not in figures
    assert (figures["users"], figures["items"]) == (12, 40)


def test_dates_of_any_day() -> None:
    days = np.full(60, np.iinfo(np.int32).max, np.int32)
    days[0] = np.iinfo(np.int32).min
    figures = about(dataclasses.replace(random_model(), seen_days=days))
    assert (figures["first_date"], figures["last_date"]) == ("-5877641-06-23", "5881580-07-11")
