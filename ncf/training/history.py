"""Summary metrics of a model's ``history.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COMPARED = ("hr_at_10", "ndcg_at_10")


def compared_metrics(history: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that runs are compared by: validation metrics of the best epoch, last loss, time and speed."""
    by_epoch = [history.get("start", {}), *history["selection"]]
    best = by_epoch[history["best_epoch"]] if history["selection"] else {}
    fits = [history, *history.get("parts", {}).values()]
    epochs = [epoch for fit in fits for epoch in (*fit["selection"], *fit["final"], *fit.get("hosted", []))]
    return {
        **{f"validation_{name}": best[name] for name in _COMPARED if name in best},
        "best_epoch": history["best_epoch"],
        "loss": (history["final"] or history["selection"])[-1]["loss"],
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "samples_per_second": history["samples_per_second"],
    }
