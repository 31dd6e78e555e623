"""What time and memory of a stage are made of: amounts of work, each of which takes so much a unit.

Each function returns amounts by name. The seconds of a stage are the sum of its amounts of work, each times a
coefficient of :mod:`ncf.forecast.coefficients`, and so are its bytes. No coefficient is negative, so that neither
falls as data grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ncf.evaluation.limits import (
    EASE_MAX_ITEMS,
    MAX_PAIRS,
    SPARSE_EASE_MAX_ITEMS,
    TUNING_EASE_ITEMS,
    TUNING_SPARSE_EASE_ITEMS,
    TUNING_USERS,
)
from ncf.forecast.size import DataSize
from ncf.training.hyperparameters import MOST_USERS, PAIRS_OF_TOWER, Hyperparameters

Amounts = Mapping[str, float]

START = "start"
"""The amount of each stage that does not depend on the data: it starts, and loads libraries."""
PARALLEL = frozenset({"products", "samples", "ranked", "inverses"})
"""Work that threads share."""
STEPS = frozenset({"products", "in_epochs", "samples"})
"""Work of a fit that its measured speed covers: the steps of the epochs, without validation and files."""
_INVERSES_OF_TUNING = 3
"""Least number of inverses by which lambda of EASE is chosen."""
_SPARSE_SYSTEMS = 8
"""Values of lambda that sparse EASE is fitted with to choose one."""


@dataclass(frozen=True)
class Work:
    """Amounts of a stage.

    Attributes:
        seconds: by which its time grows.
        bytes: by which its peak memory grows.
    """

    seconds: Amounts
    bytes: Amounts


def preprocess(size: DataSize) -> Work:
    """Reading, filters, split, report."""
    grows = {START: 1.0, "rows": size.rows, "ids": size.users + size.items}
    return Work(grows, grows)


def negative_sampling(size: DataSize, candidates: int) -> Work:
    """Candidates of the held-out items of each user.

    Args:
        size: of the data.
        candidates: of each held-out item.
    """
    grows = {START: 1.0, "positives": size.positives, "candidates": 2.0 * size.users * candidates}
    return Work(grows, grows)


def fit(size: DataSize, settings: Hyperparameters, epochs: tuple[int, int, int]) -> Work:
    """All fits of a model.

    Args:
        size: of the data.
        settings: hyperparameters, without pre-training.
        epochs: of the selection, the final and the hosted fit.
    """
    return (_history if settings.model == "history" else _pairwise)(size, settings, epochs)


def samples(size: DataSize, settings: Hyperparameters, epochs: tuple[int, int, int]) -> float:
    """Samples, positives and negatives, of all epochs, as a fit counts them for its speed."""
    of_epoch = size.in_epoch if settings.model == "history" else size.fitted
    return settings.samples_per_positive * sum(times * of_fit for times, of_fit in zip(epochs, of_epoch))


def _history(size: DataSize, settings: Hyperparameters, epochs: tuple[int, int, int]) -> Work:
    negatives, width = min(settings.shared_negatives, size.items), settings.factors
    products = positives = batch = 0.0
    for in_epoch, times in zip(size.in_epoch, epochs):
        batch = min(settings.positives_per_batch(in_epoch), in_epoch)
        products += times * in_epoch * negatives * width
        positives += times * in_epoch * width
    ranked = epochs[0] * min(size.users, MOST_USERS) * size.items * width if settings.validation == "catalogue" else 0
    seconds = {
        START: 1.0,
        "products": products,
        "in_epochs": positives,
        "ranked": ranked,
        "positives": size.positives,
    }
    return Work(seconds, {**_tables(size, width), "scores": batch * negatives})


def _pairwise(size: DataSize, settings: Hyperparameters, epochs: tuple[int, int, int]) -> Work:
    tower, width = _tower(settings), _width(settings)
    drawn = samples(size, settings, epochs)
    users = min(size.users, MOST_USERS)
    if tower:
        users = min(users, max(100, PAIRS_OF_TOWER // size.items))
    pairs = epochs[0] * users * size.items if settings.validation == "catalogue" else 0
    seconds = {
        START: 1.0,
        "products": drawn * (tower + width),
        "samples": drawn,
        "ranked": pairs * (tower + width),
        "positives": size.positives,
    }
    return Work(seconds, {**_tables(size, width), "samples": drawn / max(sum(epochs), 1)})


def _tower(settings: Hyperparameters) -> int:
    """Multiplications of the tower for a pair; the first layer is computed once for each user and item."""
    if settings.model == "gmf":
        return 0
    return sum(a * b for a, b in zip(settings.tower[1:], settings.tower[2:])) + settings.tower[-1]


def _width(settings: Hyperparameters) -> float:
    """Mean width of a user's and an item's embeddings."""
    gmf, mlp = settings.factors, settings.tower[0] / 2
    return {"gmf": gmf, "mlp": mlp}.get(settings.model, gmf + mlp)


def _tables(size: DataSize, width: float) -> Amounts:
    """What grows with weights and data."""
    return {START: 1.0, "positives": size.positives, "weights": (size.users + size.items) * width}


def evaluate(size: DataSize) -> Work:
    """Baselines, whose settings are chosen first, and the ranks of all."""
    items, users = size.items, min(size.users, TUNING_USERS)
    is_dense = items <= EASE_MAX_ITEMS
    inverses = systems = 0.0
    if is_dense:
        inverses = min(items, TUNING_EASE_ITEMS) ** 3 + min(size.users, items) ** 3 / _INVERSES_OF_TUNING
    elif items <= SPARSE_EASE_MAX_ITEMS:
        systems = _SPARSE_SYSTEMS * min(items, TUNING_SPARSE_EASE_ITEMS) + items
    seconds = {
        START: 1.0,
        "candidates": size.users,
        "pairs": min(size.pairs, MAX_PAIRS),
        "ranked": float(users * items),
        "inverses": inverses,
        "systems": systems,
    }
    matrix = _matrix(size) if is_dense else 0.0
    return Work(seconds, {START: 1.0, "positives": size.positives, "matrix": matrix, "items": items + systems})


def _matrix(size: DataSize) -> float:
    """Cells of the largest matrix of EASE with its inverse: of tuning, or of the fit.

    With fewer users than items the fit has a matrix in float32, whose cells are an eighth, and one of users and items.
    """
    items, users = size.items, size.users
    fitted = items**2 if users >= items else items**2 / 8 + users * items / 4
    return float(max(min(items, TUNING_EASE_ITEMS) ** 2, fitted))
