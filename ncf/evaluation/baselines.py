"""Baselines fitted to the training interactions: popularity, item-kNN and EASE."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation.ease import REGULARISATION, ease_weights, mean_interactions, sparse_ease
from ncf.evaluation.item_knn import item_knn
from ncf.evaluation.limits import EASE_MAX_ITEMS, MAX_PAIRS, SPARSE_EASE_MAX_ITEMS
from ncf.evaluation.names import LABELS
from ncf.evaluation.rankers import ItemScorer, ItemToItem, Popularity
from ncf.evaluation.tuning import (
    NEIGHBOURS,
    Validation,
    regularisation_of_ease,
    regularisation_of_sparse_ease,
    settings_of_item_knn,
)

_SEED = 1  # of the users that neighbours are found on, where all users have too many pairs, and of validation


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines.

    Attributes:
        rankers: by name, popularity last.
        settings: baseline -> setting -> its value, such as ``ease`` -> ``regularisation`` -> 533.0.
        chosen_on: number of validation users that the settings were chosen on; 0 for the defaults.
        remarks: on each baseline that is left out or fitted on a part of the users.
    """

    rankers: dict[str, ItemScorer] = field(default_factory=dict)
    settings: dict[str, dict[str, float]] = field(default_factory=dict)
    chosen_on: int = 0
    remarks: list[str] = field(default_factory=list)


def fit(train: ItemsByUser, n_items: int, selection: ItemsByUser, validation: Pairs) -> Baselines:
    """Baselines fitted on what the model was fitted on. Their settings are chosen on the validation positives before.

    Memory: 3 GB at most for EASE. With more items its sparse form is fitted. That of item-kNN grows with the
    interactions alone.

    Args:
        train: items of each user that the model was fitted on.
        n_items: items of the catalogue.
        selection: the same without the validation positives.
        validation: int32 [n, 2] validation positives (user, item), sorted by user.
    """
    held_out = Validation.drawn(selection, _countable(selection), n_items, validation, _SEED)
    counted = _countable(train)
    found = Baselines(chosen_on=held_out.n_users)
    if counted.n_users < train.n_users:
        found.remarks.append(
            f"EASE and item-kNN are fitted on {counted.n_users:,} of {train.n_users:,} users, drawn at random: "
            f"all have too many pairs of items to count ({_pairs(train).sum():.0e})."
        )
    _fit_ease(found, train, n_items, counted, held_out)
    neighbours, shrinkage = settings_of_item_knn(held_out) if found.chosen_on else (NEIGHBOURS, 0.0)
    (knn,) = item_knn(counted, n_items, neighbours, [shrinkage])
    found.rankers["item_knn"] = knn.for_users(train)
    found.settings["item_knn"] = {"neighbours": neighbours, "shrinkage": shrinkage}
    found.rankers["popularity"] = Popularity(np.bincount(train.items, minlength=n_items))
    return found


def _fit_ease(found: Baselines, train: ItemsByUser, n_items: int, counted: ItemsByUser, held_out: Validation) -> None:
    """Add EASE in the form that the size of the catalogue allows."""
    if n_items > SPARSE_EASE_MAX_ITEMS:
        found.remarks.append(f"EASE is left out: with {n_items:,} items its sparse form, too, would take too long.")
        return
    is_sparse = n_items > EASE_MAX_ITEMS
    name = "sparse_ease" if is_sparse else "ease"
    regularisation = REGULARISATION * mean_interactions(train, n_items)
    if found.chosen_on:
        regularisation = (regularisation_of_sparse_ease if is_sparse else regularisation_of_ease)(held_out)
    of_counted = regularisation * counted.n_users / train.n_users
    if is_sparse:
        (sparse,) = sparse_ease(counted, n_items, [of_counted])
        found.rankers[name] = sparse.for_users(train)
        found.remarks.append(
            f"{LABELS[name]} stands for EASE, whose dense matrix would be too large for {n_items:,} items: the weights "
            "of an item are those of its 100 nearest items alone."
        )
    else:
        found.rankers[name] = ItemToItem(ease_weights(counted, n_items, of_counted), train)
    found.settings[name] = {"regularisation": regularisation}


def _countable(train: ItemsByUser) -> ItemsByUser:
    """Users whose pairs of items can be counted soon: all, or drawn ones."""
    pairs = _pairs(train)
    if pairs.sum() <= MAX_PAIRS:
        return train
    order = np.random.default_rng(_SEED).permutation(train.n_users)
    return train.of_users(np.sort(order[: np.searchsorted(np.cumsum(pairs[order]), MAX_PAIRS, side="right")]))


def _pairs(train: ItemsByUser) -> NDArray[np.float64]:
    """Pairs of items of each user."""
    return train.counts().astype(np.float64) ** 2
