"""The section on training of the evaluation report: loss and validation metrics by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from ncf.reports.html import Section
from ncf.reports.plots import INK, MODEL, Chart, legend_below, plot, svg

_SIZE = (5.2, 2.9)
_METRICS = {"hr_at_10": ("HR@10", "-"), "ndcg_at_10": ("NDCG@10", "--")}
_EpochNumber = Annotated[int, Field(ge=0, lt=1 << 31)]


class _Validated(BaseModel):
    epoch: _EpochNumber = 0
    hr_at_10: FiniteFloat
    ndcg_at_10: FiniteFloat


class _Fitted(BaseModel):
    epoch: _EpochNumber
    loss: FiniteFloat


class _Selected(_Fitted, _Validated):
    """An epoch of the selection fit."""


class _History(BaseModel):
    """Parts of ``history.json`` that the section shows."""

    selection: list[_Selected] = Field(min_length=1)
    final: list[_Fitted] = []
    start: _Validated | None = None
    best_epoch: _EpochNumber | None = None


def training_sections(history: Mapping[str, Any]) -> list[Section]:
    """Loss and validation metrics by epoch; no section for a model without such epochs in its history."""
    try:
        found = _History.model_validate({name: value for name, value in history.items() if value not in (None, {})})
    except ValidationError:
        return []
    selection = found.selection
    start = [found.start] if found.start else []
    best = selection[-1].epoch if found.best_epoch is None else found.best_epoch
    charts = [_losses(selection, found.final), _validation([*start, *selection], best)]
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


def _losses(selection: Sequence[_Fitted], final: Sequence[_Fitted]) -> Chart:
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


def _validation(records: Sequence[_Validated], best: int) -> Chart:
    with plot(*_SIZE) as (figure, axes):
        for metric, (label, style) in _METRICS.items():
            axes.plot(
                _values(records, "epoch"), _values(records, metric), f"o{style}", color=MODEL, markersize=4, label=label
            )
        axes.axvline(best, color=INK, linestyle=":", linewidth=1.2, label=f"best epoch: {best}")
        axes.set(xlabel="epoch", title="Validation metrics of the selection fit")
        legend_below(figure, axes)
        return Chart(svg(figure))


def _values(records: Sequence[BaseModel], name: str) -> list[Any]:
    return [getattr(record, name) for record in records]
