"""Names of the model, the champion and the baselines in texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABELS = {
    "model": "this model",
    "champion": "champion",
    "ease": "EASE",
    "sparse_ease": "sparse EASE",
    "item_knn": "item-kNN",
    "popularity": "popularity",
}
"""Ranker -> its name in texts, in the order in which reports list them."""


def in_order(names: Mapping[str, Any]) -> list[str]:
    """The rankers among ``names`` in the order of the reports."""
    return [name for name in LABELS if name in names]
