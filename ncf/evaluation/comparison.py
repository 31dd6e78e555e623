"""Comparison of the model with the live model and the baselines, from the metrics file of evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.evaluation.names import LABELS

CUTOFF = 10


def comparison(metrics: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, ...]]]:
    """NDCG and HR of each ranker, on the whole catalogue, and second among drawn items.

    Args:
        metrics: content of the metrics file.

    Returns:
        Metric and protocol of each column, and the rows: a ranker's name in texts and its figures. Figures of the model
        have a 95 % interval. A figure that is not there is ''.
    """
    protocols = {"full_": "whole catalogue", "": f"among {metrics['candidates']:.0f} drawn items"}
    columns = {
        f"{prefix}{metric}_at_{CUTOFF}": (f"{metric.upper()}@{CUTOFF}", protocol)
        for prefix, protocol in protocols.items()
        for metric in ("ndcg", "hr")
    }
    rows = []
    for ranker, label in LABELS.items():
        prefix = "" if ranker == "model" else f"{ranker}_"
        cells = [_with_bounds(metrics, f"{prefix}{name}") for name in columns]
        if any(cells):
            rows.append((label, *cells))
    return list(columns.values()), rows


def _with_bounds(metrics: Mapping[str, Any], name: str) -> str:
    """A metric with its 95 % interval, if the metrics have it; '' for one that is not there."""
    if name not in metrics:
        return ""
    low, high = (metrics.get(f"{name}_{bound}") for bound in ("low", "high"))
    return f"{metrics[name]:.4f}" + (f" ({low:.4f} to {high:.4f})" if low is not None else "")
