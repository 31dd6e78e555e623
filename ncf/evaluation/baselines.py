"""What a model has to beat, from its training interactions alone: popularity, item-kNN and a linear model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ncf.data.items_by_user import ItemsByUser
from ncf.evaluation.rankers import ItemToItem, Popularity, Ranker
from ncf.models.model_folder import ModelFolder

NEIGHBOURS = 100
EASE_REGULARISATION = 2.0
"""Lambda of EASE, by the mean number of interactions of an item, so that it fits data of any size.

Chosen on validation items, not on test items: of 0.1 to 4, NDCG@10 on the full catalogue was best with 2 on
MovieLens 1M (0.1465), and within 5 % of the best on MovieLens latest-small and on generated data. There lambda is 533;
Steck 2019 (section 4) found 500 best for ML-20M, 1,000 for Netflix and 200 for MSD."""
_KNN_MOST_ITEMS = 12_000  # float32 matrices of 0.6 GB
_EASE_MOST_ITEMS = 10_000  # its inverse in float64 takes about 4 GB, and a minute or two on two cores
_MOST_PAIRS = 2e10  # of items that a user has both of, over all users: some two minutes


def count_together(train: ItemsByUser, n_items: int) -> NDArray[np.float32]:
    """How many users have both of two items, float32 [n_items, n_items]; on the diagonal, how many have the item."""
    together = np.zeros((n_items, n_items), np.float32)
    for user in range(train.n_users):
        items = train.of_user(user)
        together[items[:, None], items] += 1
    return together


def knn_weights(together: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of items on binary interactions, over each item's 100 nearest (Sarwar et al. 2001).

    Args:
        together: float32 [n_items, n_items], see :func:`count_together`.

    Returns:
        float32 [n_items, n_items], of which column i holds the neighbours of item i.
    """
    n_items = len(together)
    norm = np.sqrt(np.maximum(together.diagonal(), np.float32(1)))
    similarity = (together / norm[:, None]).astype(np.float32, copy=False)
    similarity /= norm
    np.fill_diagonal(similarity, 0)
    if n_items > NEIGHBOURS:
        least = np.partition(similarity, n_items - NEIGHBOURS, axis=0)[n_items - NEIGHBOURS]
        similarity[similarity < least] = 0
    return similarity


def ease_weights(together: NDArray[np.float32]) -> NDArray[np.float32]:
    """The linear model that predicts best which items a user has from the others (EASE, Steck 2019).

    ``B`` minimises ``|X - X B|^2 + lambda |B|^2`` with a diagonal of zero; with ``P = (X^T X + lambda I)^-1`` it is
    ``-P / diag(P)`` off the diagonal. Computed in float64, as small lambdas make the matrix ill-conditioned.

    Args:
        together: float32 [n_items, n_items], ``X^T X``, see :func:`count_together`.

    Returns:
        float32 [n_items, n_items], ``B``.
    """
    gram = together.astype(np.float64)
    diagonal = np.einsum("ii->i", gram)  # a view
    diagonal += EASE_REGULARISATION * max(diagonal.mean(), 1.0)
    precision = np.linalg.inv(gram)
    weights = (precision / -precision.diagonal()).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights


_LINEAR: Mapping[str, tuple[str, int, Callable[[NDArray[np.float32]], NDArray[np.float32]]]] = {
    "ease": ("EASE", _EASE_MOST_ITEMS, ease_weights),
    "item_knn": ("Item-kNN", _KNN_MOST_ITEMS, knn_weights),
}


def rankers(model: ModelFolder) -> tuple[dict[str, Ranker], list[str]]:
    """The baselines by name, popularity last, and a sentence for each that is left out.

    Memory: 4 GB at most while EASE is fitted, 1 GB afterwards.
    """
    n_items, train = model.config.n_items, model.train
    pairs = float((train.counts().astype(np.float64) ** 2).sum())
    together: NDArray[np.float32] | None = None
    found: dict[str, Ranker] = {}
    left_out = []
    for name, (label, most_items, weigh) in _LINEAR.items():
        if n_items > most_items:
            left_out.append(f"{label} is left out: with {n_items:,} items its dense matrix would be too large.")
        elif pairs > _MOST_PAIRS:
            left_out.append(f"{label} is left out: its users have too many pairs of items to count ({pairs:.0e}).")
        else:
            together = count_together(train, n_items) if together is None else together
            found[name] = ItemToItem(weigh(together), train)
    return {**found, "popularity": Popularity(model.popularity)}, left_out
