"""Samples of a data set: candidates for evaluation, and the exclusion index of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset, Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from ncf.sampling.negatives import Strategy, draw_rows


def draw_candidates(dataset: Dataset, candidates: int, strategy: Strategy, seed: int, fingerprint: str) -> Samples:
    """Candidates of every held-out positive, drawn from the items that the user has never interacted with.

    A data set from the NCF release format has test negatives of its own, which are kept.

    Args:
        dataset: to draw for.
        candidates: negatives of each held-out positive.
        strategy: ``uniform``, or ``popularity`` by training interactions.
        seed: of all draws.
        fingerprint: of the data set.

    Raises:
        InputError: if a user has fewer than ``candidates`` items left.
    """
    positives = dataset.positives()
    weights = popularity(dataset.train, dataset.n_items)

    def drawn(pairs: Pairs, stream: int) -> NDArray[np.int32]:
        rng = np.random.default_rng([seed, stream])
        return draw_rows(pairs[:, 0], positives, dataset.n_items, candidates, rng, strategy, weights, "candidates")

    test_candidates = drawn(dataset.test, 1) if dataset.test_negatives is None else dataset.test_negatives
    return Samples(
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        validation=dataset.validation,
        validation_candidates=drawn(dataset.validation, 0),
        test=dataset.test,
        test_candidates=test_candidates,
        exclusion=dataset.train.in_order(),
        dataset=fingerprint,
    )


def popularity(train: ItemsByUser, n_items: int) -> NDArray[np.int64]:
    """Training interactions of each item, int64 [n_items]; at least 1."""
    return np.maximum(np.bincount(train.items, minlength=n_items), 1)
