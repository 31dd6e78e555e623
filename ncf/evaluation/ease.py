"""EASE, the linear item-to-item model of Steck 2019, and a sparse form of it for large catalogues."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation.cooccurrence import cooccurrences, interaction_matrix
from ncf.evaluation.item_knn import nearest_of_block
from ncf.evaluation.rankers import Neighbours
from ncf.progress import progress

REGULARISATION = 2.0
"""Lambda of EASE divided by the mean interactions of an item, where there are no validation items to choose by.

Of 0.1 to 4, NDCG@10 of validation items on the whole catalogue was best with 2 on MovieLens 1M (0.1465), and within
5 % of the best on MovieLens latest-small and on generated data. For MovieLens 1M lambda is 533; Steck 2019 (section 4)
found 500 best for ML-20M, 1,000 for Netflix and 200 for MSD."""
_ITEMS_PER_BLOCK = 512
_SUPPORT = 100
"""Items with a weight in each column of the sparse form."""
_KEPT = 400
"""Co-occurrence counts that the sparse form keeps of each item. Those of less similar items are estimated."""
_SYSTEMS_PER_BLOCK = 64
_log = logging.getLogger(__name__)


def mean_interactions(train: ItemsByUser, n_items: int) -> float:
    """Interactions of an item in the mean, 1 or more: the unit of :data:`REGULARISATION`."""
    return max(len(train.items) / n_items, 1.0)


def ease_weights(train: ItemsByUser, n_items: int, regularisation: float) -> NDArray[np.float32]:
    """EASE: the linear item-to-item model of Steck 2019.

    ``B`` minimises ``|X - X B|^2 + lambda |B|^2`` with a diagonal of zero. With ``P = (X^T X + lambda I)^-1`` it is
    ``-P / diag(P)`` off the diagonal. Computed in float64, as a small lambda makes the matrix ill-conditioned.

    With fewer users than items the inverse of a smaller matrix gives the same: ``P = (I - H) / lambda`` with
    ``H = X^T (X X^T + lambda I)^-1 X``, so ``B = H / (1 - diag(H))``.

    Args:
        train: items of each user.
        n_items: items of the catalogue.
        regularisation: lambda.

    Returns:
        ``B``, float32 [n_items, n_items].
    """
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
    gram = cooccurrence_matrix(train, n_items)
    _log.info("inverting the co-occurrence matrix of %s items for EASE", f"{n_items:,}")
    return weights_of_counts(gram, regularisation)


def cooccurrence_matrix(train: ItemsByUser, n_items: int) -> NDArray[np.float64]:
    """``X^T X``, the users whom each pair of items has, float64 [n_items, n_items]."""
    gram = np.empty((n_items, n_items))
    with progress("counting co-occurrences for EASE", n_items, "items") as bar:
        for block in cooccurrences(train, n_items):
            gram[block.items.start : block.items.stop] = block.counts.toarray()
            bar.update(len(block.items))
    return gram


def weights_of_counts(gram: NDArray[np.float64], regularisation: float) -> NDArray[np.float32]:
    """``B`` of EASE but for the diagonal, float32 [n_items, n_items], from ``X^T X``, which is overwritten."""
    precision = _regularised_inverse(gram, regularisation)
    precision /= -precision.diagonal()
    return precision.astype(np.float32)


def _regularised_inverse(gram: NDArray[np.float64], regularisation: float) -> NDArray[np.float64]:
    """Inverse of ``gram + regularisation * I``, float64 [n, n]. ``gram`` is symmetric and is overwritten."""
    gram[np.diag_indices(len(gram))] += regularisation
    inverse: NDArray[np.float64] = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
    return inverse


def sparse_ease(train: ItemsByUser, n_items: int, regularisations: Sequence[float]) -> list[Neighbours]:
    """EASE with weights from the nearest items alone, for catalogues whose dense matrix would be too large.

    One for each lambda: most of the time goes into their common equations.

    Column ``i`` of EASE is the ridge regression of item ``i`` on all other items. Here it is the same regression on the
    100 items that are most similar by cosine: SLIM with selected features (Ning and Karypis 2011, fsSLIM) with the
    penalty of EASE, in the manner of the sparse approximation of Steck 2019 (Markov Random Fields for Collaborative
    Filtering). Of the co-occurrence counts, the 400 most similar of each item are kept; others
    are taken to be what they would be if users chose items independently. NDCG@10 of validation items on the 1,200 most
    popular items of MovieLens 1M, with lambda 500: .168; of EASE .172.

    Memory: 8 bytes for each kept count, 320 MB for 100,000 items, and 4 bytes a weight.

    Args:
        train: items of each user.
        n_items: items of the catalogue.
        regularisations: lambda of each.
    """
    _log.info("fitting baseline sparse EASE on %s users and %s items", f"{train.n_users:,}", f"{n_items:,}")
    others, counts, found = _kept_counts(train, n_items)
    users = np.bincount(train.items, minlength=n_items).astype(np.float64)
    lengths = np.minimum(found, _SUPPORT)
    is_full = found == others.shape[1]  # others may have further counts, which are not kept
    width = int(lengths.max(initial=0))
    weights = np.zeros((len(regularisations), n_items, width), np.float32)
    position = np.full(n_items, -1, np.int32)  # of an item in the system that is being made
    with progress("fitting baseline sparse EASE", n_items, "items") as bar:
        for start in range(0, n_items, _SYSTEMS_PER_BLOCK):
            items = range(start, min(start + _SYSTEMS_PER_BLOCK, n_items))
            systems = np.zeros((len(items), width, width))
            for row, item in enumerate(items):
                support = others[item, : lengths[item]]
                expected = np.where(is_full[support], users[support], 0)
                systems[row, : len(support), : len(support)] = np.outer(expected, expected) / max(train.n_users, 1)
                _fill(systems[row], support, others, counts, position)
                np.fill_diagonal(systems[row], np.append(users[support], np.ones(width - len(support))))
            right = np.where(np.arange(width) < lengths[items.start : items.stop, None], counts[items, :width], 0)
            added = 0.0
            for which, regularisation in enumerate(regularisations):
                systems[:, range(width), range(width)] += regularisation - added
                added = regularisation
                weights[which, items.start : items.stop] = np.linalg.solve(systems, right[:, :, None])[:, :, 0]
            bar.update(len(items))
    filled = np.arange(width) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    nearest = ItemsByUser(offsets, others[:, :width][filled])
    return [Neighbours(nearest, of_one[filled], train) for of_one in weights]


def _fill(
    system: NDArray[np.float64],
    support: NDArray[np.int32],
    others: NDArray[np.int32],
    counts: NDArray[np.int32],
    position: NDArray[np.int32],
) -> None:
    """Fill in the co-occurrence counts of the items ``support``. A count that either of two items keeps is used."""
    position[support] = np.arange(len(support), dtype=np.int32)
    columns = position[others[support]]
    row, entry = np.nonzero(columns >= 0)
    values = counts[support[row], entry]
    column = columns[row, entry]
    system[row, column] = values
    system[column, row] = values
    position[support] = -1


def _kept_counts(train: ItemsByUser, n_items: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """The most similar items of each item and their co-occurrence counts, int32 [n_items, kept] each; and their number.

    Places that are not filled hold the item itself.
    """
    norms = np.sqrt(np.maximum(np.bincount(train.items, minlength=n_items), 1)).astype(np.float32)
    kept = min(_KEPT, max(n_items - 1, 1))
    others = np.repeat(np.arange(n_items, dtype=np.int32), kept).reshape(n_items, kept)
    counts = np.zeros((n_items, kept), np.int32)
    lengths = np.zeros(n_items, np.int64)
    with progress("counting co-occurrences for sparse EASE", n_items, "items") as bar:
        for block in cooccurrences(train, n_items):
            rows = slice(block.items.start, block.items.stop)
            lengths[rows], entries, _ = nearest_of_block(block, norms, kept, 0.0)
            filled = np.arange(kept) < lengths[rows, None]
            others[rows][filled] = block.counts.indices[entries]
            counts[rows][filled] = block.counts.data[entries]
            bar.update(len(block.items))
    return others, counts, lengths
