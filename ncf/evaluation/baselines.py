"""Baselines fitted to the training interactions: popularity, item-kNN and EASE."""

from __future__ import annotations

import logging

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation.cooccurrence import cooccurrences, interaction_matrix
from ncf.evaluation.rankers import ItemScorer, ItemToItem, Neighbours, Popularity
from ncf.progress import progress

NEIGHBOURS = 100
EASE_REGULARISATION = 2.0
"""Lambda of EASE divided by the mean number of interactions of an item, so that it fits data of any size.

Chosen on validation items, not on test items. Of 0.1 to 4, NDCG@10 on the full catalogue was best with 2 on MovieLens
1M (0.1465), and within 5 % of the best on MovieLens latest-small and on generated data. For MovieLens 1M lambda is
533; Steck 2019 (section 4) found 500 best for ML-20M, 1,000 for Netflix and 200 for MSD."""
_EASE_MAX_ITEMS = 10_000  # the inverse in float64 takes about 3 GB and up to a minute on two cores
_EASE_MAX_PAIRS = 1e10  # item pairs of all users: some minutes of counting
_KNN_MAX_PAIRS = 2e9  # about half a minute of counting
_ITEMS_PER_BLOCK = 512
_SEED = 1  # of the users that item-kNN is fitted on, where all users have too many pairs
_log = logging.getLogger(__name__)


def knn(train: ItemsByUser, n_items: int) -> Neighbours:
    """Item-kNN: cosine similarity on binary interactions, 100 nearest neighbours an item (Sarwar et al. 2001).

    Ties are broken by the lower item index. Memory: 8 bytes a neighbour, twice while they are computed, and 24 bytes
    an interaction.
    """
    _log.info("fitting baseline item-kNN on %s users and %s items", f"{train.n_users:,}", f"{n_items:,}")
    norms = np.sqrt(np.maximum(np.bincount(train.items, minlength=n_items), 1)).astype(np.float32)
    lengths = np.zeros(n_items, np.int64)
    nearest, weights = [], []
    with progress("fitting baseline item-kNN", n_items, "items") as bar:
        for block in cooccurrences(train, n_items):
            rows = np.repeat(np.arange(len(block.items)), np.diff(block.counts.indptr))
            others = block.counts.indices
            similarity = block.counts.data.astype(np.float32) / norms[rows + block.items.start] / norms[others]
            is_other = others != rows + block.items.start
            rows, others, similarity = rows[is_other], others[is_other], similarity[is_other]
            # positive floats sort as their bits do, and a stable sort keeps the order of tied items
            order = np.argsort(rows << 32 | ~similarity.view(np.uint32), kind="stable")
            found = np.bincount(rows, minlength=len(block.items))
            rank = np.arange(len(rows)) - np.repeat(np.cumsum(found) - found, found)  # from 0
            chosen = order[rank < NEIGHBOURS]
            lengths[block.items.start : block.items.stop] = np.minimum(found, NEIGHBOURS)
            nearest.append(others[chosen].astype(np.int32))
            weights.append(similarity[chosen])
            bar.update(len(block.items))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Neighbours(ItemsByUser(offsets, np.concatenate(nearest)), np.concatenate(weights), train)


def ease_weights(train: ItemsByUser, n_items: int) -> NDArray[np.float32]:
    """EASE: the linear item-to-item model of Steck 2019.

    ``B`` minimises ``|X - X B|^2 + lambda |B|^2`` with a diagonal of zero. With ``P = (X^T X + lambda I)^-1`` it is
    ``-P / diag(P)`` off the diagonal. Computed in float64, as a small lambda makes the matrix ill-conditioned.

    With fewer users than items the inverse of a smaller matrix gives the same: ``P = (I - H) / lambda`` with
    ``H = X^T (X X^T + lambda I)^-1 X``, so ``B = H / (1 - diag(H))``.

    Returns:
        ``B``, float32 [n_items, n_items].
    """
    regularisation = EASE_REGULARISATION * max(len(train.items) / n_items, 1.0)
    _log.info("fitting baseline EASE on %s users and %s items", f"{train.n_users:,}", f"{n_items:,}")
    fit = _ease_by_users if train.n_users < n_items else _ease_by_items
    weights = fit(train, n_items, regularisation)
    np.fill_diagonal(weights, 0)
    return weights


def _ease_by_users(train: ItemsByUser, n_items: int, regularisation: float) -> NDArray[np.float32]:
    """``B`` but for the diagonal, from the inverse of a [n_users, n_users] matrix."""
    by_user = interaction_matrix(train, n_items, np.float64)
    by_item = by_user.T.tocsr()
    inverse = _regularised_inverse((by_user @ by_item).toarray(), regularisation)
    right = np.ascontiguousarray((by_item @ inverse).T)  # [n_users, n_items]; the inverse is symmetric
    scale = 1 - by_item.multiply(right.T).sum(axis=1)
    weights = np.empty((n_items, n_items), np.float32)
    with progress("fitting baseline EASE", n_items, "items") as bar:
        for start in range(0, n_items, _ITEMS_PER_BLOCK):
            block = by_item[start : start + _ITEMS_PER_BLOCK]
            weights[start : start + _ITEMS_PER_BLOCK] = block @ right / scale
            bar.update(block.shape[0])
    return weights


def _ease_by_items(train: ItemsByUser, n_items: int, regularisation: float) -> NDArray[np.float32]:
    """``B`` but for the diagonal, from the inverse of the [n_items, n_items] co-occurrence counts."""
    gram = np.empty((n_items, n_items))
    with progress("counting co-occurrences for EASE", n_items, "items") as bar:
        for block in cooccurrences(train, n_items):
            gram[block.items.start : block.items.stop] = block.counts.toarray()
            bar.update(len(block.items))
    _log.info("inverting the co-occurrence matrix of %s items for EASE", f"{n_items:,}")
    precision = _regularised_inverse(gram, regularisation)
    precision /= -precision.diagonal()
    return precision.astype(np.float32)


def _regularised_inverse(gram: NDArray[np.float64], regularisation: float) -> NDArray[np.float64]:
    """Inverse of ``gram + regularisation * I``, float64 [n, n]. ``gram`` is symmetric and is overwritten."""
    gram[np.diag_indices(len(gram))] += regularisation
    inverse: NDArray[np.float64] = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
    return inverse


def rankers(model: ModelFolder) -> tuple[dict[str, ItemScorer], list[str]]:
    """Baselines by name, popularity last, and a remark on each that is left out or fitted on a part of the users.

    Memory: 3 GB at most for EASE, which is left out where more would be needed. That of item-kNN grows with the
    interactions alone.
    """
    n_items, train = model.config.n_items, model.train
    squares = train.counts().astype(np.float64) ** 2  # pairs of items of each user
    pairs = float(squares.sum())
    found: dict[str, ItemScorer] = {}
    remarks = []
    if n_items > _EASE_MAX_ITEMS:
        remarks.append(f"EASE is left out: with {n_items:,} items its dense matrix would be too large.")
    elif pairs > _EASE_MAX_PAIRS:
        remarks.append(f"EASE is left out: its users have too many pairs of items to count ({pairs:.0e}).")
    else:
        found["ease"] = ItemToItem(ease_weights(train, n_items), train)
    counted = train
    if pairs > _KNN_MAX_PAIRS:
        order = np.random.default_rng(_SEED).permutation(train.n_users)
        drawn = np.sort(order[: np.searchsorted(np.cumsum(squares[order]), _KNN_MAX_PAIRS, side="right")])
        counted = train.of_users(drawn)
        remarks.append(
            f"Item-kNN finds the neighbours of items on {len(drawn):,} of {train.n_users:,} users, drawn at random: "
            f"all have too many pairs of items to count ({pairs:.0e})."
        )
    neighbours = knn(counted, n_items)
    found["item_knn"] = Neighbours(neighbours.nearest, neighbours.weights, train)
    return {**found, "popularity": Popularity(model.popularity)}, remarks
