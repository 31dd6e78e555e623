"""The section on training of the evaluation report: loss and validation metrics by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncf.reports.html import Section
from ncf.reports.plots import INK, MODEL, Chart, legend_below, plot, svg

_SIZE = (5.2, 2.9)
_METRICS = {"hr_at_10": ("HR@10", "-"), "ndcg_at_10": ("NDCG@10", "--")}


def training_sections(history: Mapping[str, Any]) -> list[Section]:
    """Loss and validation metrics by epoch; no section for a model without epochs in its history."""
    selection = history.get("selection") or []
    if not selection:
        return []
    start = [{"epoch": 0, **found}] if (found := history.get("start")) else []
    best = history.get("best_epoch", selection[-1]["epoch"])
    charts = [_losses(selection, history.get("final") or []), _validation([*start, *selection], best)]
    if best:
        text = (
            f"Selection fit: epoch {best} of {len(selection)} has the best NDCG@10 on the validation items. Final fit: "
            f"the evaluated model was trained for {best} epoch{'s' * (best > 1)} on training and validation items."
        )
    else:
        text = (
            f"Selection fit: none of {len(selection)} epochs has a better NDCG@10 on the validation items than the "
            "fused GMF and MLP at their start. Final fit: the evaluated model is a GMF and an MLP that were trained on "
            "training and validation items, fused without further epochs."
        )
    return [Section("Training", [text], charts=charts)]


def _losses(selection: Sequence[Mapping[str, Any]], final: Sequence[Mapping[str, Any]]) -> Chart:
    with plot(*_SIZE) as (figure, axes):
        axes.plot(
            _values(selection, "epoch"),
            _values(selection, "loss"),
            "o-",
            color=MODEL,
            markersize=4,
            label="selection fit",
        )
        if final:
            marks = {"markersize": 8, "fillstyle": "none"}
            axes.plot(_values(final, "epoch"), _values(final, "loss"), "o--", color=MODEL, label="final fit", **marks)
        axes.set(xlabel="epoch", title="Training loss")
        legend_below(figure, axes)
        return Chart(svg(figure))


def _validation(records: Sequence[Mapping[str, Any]], best: int) -> Chart:
    with plot(*_SIZE) as (figure, axes):
        for metric, (label, style) in _METRICS.items():
            axes.plot(
                _values(records, "epoch"), _values(records, metric), f"o{style}", color=MODEL, markersize=4, label=label
            )
        axes.axvline(best, color=INK, linestyle=":", linewidth=1.2, label=f"best epoch: {best}")
        axes.set(xlabel="epoch", title="Validation metrics of the selection fit")
        legend_below(figure, axes)
        return Chart(svg(figure))


def _values(records: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [record[name] for record in records]
