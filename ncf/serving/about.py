"""Description of a model for the page: what it is, what it was trained on, and its validation metrics."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from ncf.artifacts.model_folder import ModelFolder

_NAMES = {"history": "History", "gmf": "GMF", "mlp": "MLP", "neumf": "NeuMF"}


_Share = Annotated[float, Field(ge=0, le=1)]


class _Epoch(BaseModel):
    hr_at_10: _Share | None = None
    ndcg_at_10: _Share | None = None


class _Validation(BaseModel):
    positives: int = Field(ge=1)
    candidates: int = Field(ge=1)


class _History(BaseModel):
    """Parts of ``history.json`` that the page shows; models of earlier versions lack some."""

    selection: list[_Epoch] = []
    start: _Epoch = _Epoch()
    best_epoch: int = Field(0, ge=0)
    trained_at: AwareDatetime | None = None
    validation: _Validation | None = None


def about(model: ModelFolder) -> dict[str, Any]:
    """Figures of a model. Those that the model folder does not hold are left out.

    Returns:
        ``model_version``, ``model``, ``users``, ``items`` and ``interactions``; where known ``first_date`` and
        ``last_date`` of the interactions, ``trained_at`` (UTC) and ``validation``: ``hr_at_10`` and ``ndcg_at_10``
        of the best epoch, with ``positives`` and ``candidates`` of each.
    """
    config = model.config
    figures: dict[str, Any] = {
        "model_version": model.version,
        "model": _NAMES[config.model],
        "users": config.n_users,
        "items": config.n_items,
        "interactions": len(model.seen.items),
    }
    if model.seen_days is not None and len(model.seen_days):
        first, last = np.array([model.seen_days.min(), model.seen_days.max()]).astype("datetime64[D]")
        figures |= {"first_date": str(first), "last_date": str(last)}
    try:
        history = _History.model_validate(model.history)
    except ValidationError:
        return figures
    if history.trained_at is not None:
        figures["trained_at"] = history.trained_at.astimezone(UTC).isoformat(timespec="seconds")
    epochs = [history.start, *history.selection]
    best = epochs[history.best_epoch] if history.best_epoch < len(epochs) else _Epoch()
    if best.hr_at_10 is not None and best.ndcg_at_10 is not None:
        figures["validation"] = best.model_dump() | (history.validation.model_dump() if history.validation else {})
    return figures
