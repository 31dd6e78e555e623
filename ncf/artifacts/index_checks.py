"""Checks of the arrays of a data set: indices, pairs, negatives and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncf.errors import InputError

Pairs = NDArray[np.int32]  # [n, 2]: user index, item index; sorted by user


def check_pairs(path: Path, pairs: Pairs, n_users: int, n_items: int) -> None:
    """Check held-out pairs.

    Raises:
        InputError: if they are no pairs, not sorted by user, or out of range.
    """
    if pairs.shape[1] != 2:
        raise InputError(f"{path}: shape {pairs.shape}; expected [n, 2]: user, item")
    check_range(path, pairs[:, 0], n_users)
    check_range(path, pairs[:, 1], n_items)
    if (pairs[1:, 0] < pairs[:-1, 0]).any():
        raise InputError(f"{path}: users are not sorted; expected pairs in ascending order of users")


def check_weights(path: Path, weights: NDArray[np.float32], positives: int) -> None:
    """Check the weights of positives.

    Raises:
        InputError: if there are more or fewer, or one is not a finite number above 0, with ``path`` in its message.
    """
    if len(weights) != positives:
        raise InputError(f"{path}: {len(weights)} weights for {positives} positives")
    if not (fine := (weights > 0) & (weights < np.inf)).all():
        position = int(fine.argmin())
        raise InputError(f"{path}: weight {position} is {weights[position]}; expected finite numbers above 0")


def check_candidates(path: Path, candidates: NDArray[np.int32], n_items: int) -> None:
    """Check the negatives of held-out pairs, int32 [n, negatives].

    Raises:
        InputError: if there are none for a pair, or an index is out of range.
    """
    if not candidates.shape[1]:
        raise InputError(f"{path}: shape {candidates.shape}; expected one or more negatives in a row")
    check_range(path, candidates, n_items)


def check_range(path: Path, indices: NDArray[np.int32], size: int) -> None:
    """Check that all indices are in [0, size).

    Raises:
        InputError: if not, with ``path`` in its message.
    """
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise InputError(f"{path}: indices from {indices.min()} to {indices.max()}; expected 0 to {size - 1}")
