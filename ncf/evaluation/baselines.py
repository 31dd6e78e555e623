"""What a model has to beat, from its training interactions alone: popularity, item-kNN and a linear model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation.cooccurrence import count_together
from ncf.evaluation.rankers import ItemToItem, Neighbours, Popularity, Ranker

NEIGHBOURS = 100
EASE_REGULARISATION = 2.0
"""Lambda of EASE, by the mean number of interactions of an item, so that it fits data of any size.

Chosen on validation items, not on test items: of 0.1 to 4, NDCG@10 on the full catalogue was best with 2 on
MovieLens 1M (0.1465), and within 5 % of the best on MovieLens latest-small and on generated data. There lambda is 533;
Steck 2019 (section 4) found 500 best for ML-20M, 1,000 for Netflix and 200 for MSD."""
_EASE_MOST_ITEMS = 10_000  # its inverse in float64 takes about 4 GB, and a minute or two on two cores
_EASE_MOST_PAIRS = 1e10  # of items that a user has both of, over all users: some minutes
_KNN_MOST_PAIRS = 2e9  # likewise: about a minute
_SEED = 1  # of the users whom neighbours are counted on, where all have too many pairs


def knn(train: ItemsByUser, n_items: int) -> Neighbours:
    """Cosine similarity of items on binary interactions, over each item's 100 nearest (Sarwar et al. 2001).

    Of items that are equally near the first come first. Memory: 8 bytes a neighbour, twice while they are found, and
    24 bytes an interaction.
    """
    norm = np.sqrt(np.maximum(np.bincount(train.items, minlength=n_items), 1)).astype(np.float32)
    lengths = np.zeros(n_items, np.int64)
    nearest, weights = [], []
    for block in count_together(train, n_items):
        similarity = block.counts.astype(np.float32) / norm[block.rows + block.items.start] / norm[block.others]
        is_other = block.others != block.rows + block.items.start
        rows, others, similarity = block.rows[is_other], block.others[is_other], similarity[is_other]
        # positive floats are ordered as their bits are; the order within a row is stable, so the first come first
        order = np.argsort(rows << 32 | ~similarity.view(np.uint32), kind="stable")
        found = np.bincount(rows, minlength=len(block.items))
        place = np.arange(len(rows)) - np.repeat(np.cumsum(found) - found, found)
        chosen = order[place < NEIGHBOURS]
        lengths[block.items.start : block.items.stop] = np.minimum(found, NEIGHBOURS)
        nearest.append(others[chosen].astype(np.int32))
        weights.append(similarity[chosen])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Neighbours(ItemsByUser(offsets, np.concatenate(nearest)), np.concatenate(weights), train)


def ease_weights(train: ItemsByUser, n_items: int) -> NDArray[np.float32]:
    """The linear model that predicts best which items a user has from the others (EASE, Steck 2019).

    ``B`` minimises ``|X - X B|^2 + lambda |B|^2`` with a diagonal of zero; with ``P = (X^T X + lambda I)^-1`` it is
    ``-P / diag(P)`` off the diagonal. Computed in float64, as small lambdas make the matrix ill-conditioned.

    Returns:
        float32 [n_items, n_items], ``B``.
    """
    gram = np.zeros((n_items, n_items))
    for block in count_together(train, n_items):
        gram[block.rows + block.items.start, block.others] = block.counts
    diagonal = np.einsum("ii->i", gram)  # a view
    diagonal += EASE_REGULARISATION * max(diagonal.mean(), 1.0)
    precision = np.linalg.inv(gram)
    weights = (precision / -precision.diagonal()).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights


def rankers(model: ModelFolder) -> tuple[dict[str, Ranker], list[str]]:
    """The baselines by name, popularity last, and a sentence for each that is left out or not fitted on all users.

    Memory: 4 GB at most while EASE is fitted, and it is left out where that would not do; item-kNN's grows with the
    data alone.
    """
    n_items, train = model.config.n_items, model.train
    squares = train.counts().astype(np.float64) ** 2  # pairs of items of each user
    pairs = float(squares.sum())
    found: dict[str, Ranker] = {}
    remarks = []
    if n_items > _EASE_MOST_ITEMS:
        remarks.append(f"EASE is left out: with {n_items:,} items its dense matrix would be too large.")
    elif pairs > _EASE_MOST_PAIRS:
        remarks.append(f"EASE is left out: its users have too many pairs of items to count ({pairs:.0e}).")
    else:
        found["ease"] = ItemToItem(ease_weights(train, n_items), train)
    counted = train
    if pairs > _KNN_MOST_PAIRS:
        order = np.random.default_rng(_SEED).permutation(train.n_users)
        drawn = np.sort(order[: np.searchsorted(np.cumsum(squares[order]), _KNN_MOST_PAIRS, side="right")])
        counted = train.of_users(drawn)
        remarks.append(
            f"Item-kNN finds the neighbours of items on {len(drawn):,} of {train.n_users:,} users, drawn at random: "
            f"all have too many pairs of items to count ({pairs:.0e})."
        )
    neighbours = knn(counted, n_items)
    found["item_knn"] = Neighbours(neighbours.nearest, neighbours.weights, train)
    return {**found, "popularity": Popularity(model.popularity)}, remarks
