"""How the model was trained, in plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.reports.html import ACCENT, CONTRAST, MUTED, Chart, Section, legend_below, plot, svg


def training(history: Mapping[str, Any]) -> list[Section]:
    """Loss and validation metrics by epoch; nothing for a model without such a history."""
    selection = history.get("selection") or []
    if not selection:
        return []
    epochs = [record["epoch"] for record in selection]
    ranked = [{"epoch": 0, **start} for start in [history.get("start")] if start] + selection
    best = history.get("best_epoch", epochs[-1])
    charts = []
    with plot(5.2, 2.9) as (figure, axes):
        axes.plot(
            epochs,
            [record["loss"] for record in selection],
            "o-",
            color=ACCENT,
            markersize=4,
            label="selection fit",
        )
        if final := history.get("final"):
            losses = [record["loss"] for record in final]
            axes.plot(
                [record["epoch"] for record in final],
                losses,
                "o-",
                color=MUTED,
                markersize=4,
                label="final fit",
            )
        axes.set(xlabel="epoch", title="Training loss")
        legend_below(figure, axes)
        charts.append(Chart(svg(figure)))
    with plot(5.2, 2.9) as (figure, axes):
        for metric, label, color in (("hr_at_10", "HR@10", ACCENT), ("ndcg_at_10", "NDCG@10", CONTRAST)):
            values = [record[metric] for record in ranked]
            axes.plot([record["epoch"] for record in ranked], values, "o-", color=color, markersize=4, label=label)
        axes.axvline(best, color=MUTED, linestyle="--", linewidth=1, label=f"best epoch: {best}")
        axes.set(xlabel="epoch", title="Validation")
        legend_below(figure, axes)
        charts.append(Chart(svg(figure)))
    if best:
        text = (
            f"Epochs were chosen on validation items: the best is {best} of {len(epochs)}. The model that is evaluated "
            "here and hosted was then fitted once on training and validation items together."
        )
    else:
        text = (
            f"On validation items none of {len(epochs)} epochs was better than the joined GMF and MLP that they "
            "started from. So the model that is evaluated here and hosted is these two, fitted on training and "
            "validation items together and joined without an epoch after that."
        )
    return [Section("Training", [text], charts=charts)]
