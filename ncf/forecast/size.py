"""Size of data: the counts on which time and memory of the stages depend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest
from ncf.artifacts.profile import profile_in
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.training.hyperparameters import MOST_POSITIVES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ncf.artifacts.dataset import Dataset

_OFFSETS = "train_offsets.npy"


@dataclass(frozen=True)
class DataSize:
    """Counts of a data set.

    Attributes:
        rows: interactions that were read.
        users: of training.
        items: of training.
        fitted: positives of each fit: selection, final, hosted. The last one has all that are left after the filters.
        in_epoch: of these, positives in an epoch of a ``history`` model, which takes some of each user.
        pairs: pairs of items of all users, the sum of the squares of their training positives.
    """

    rows: int
    users: int
    items: int
    fitted: tuple[int, int, int]
    in_epoch: tuple[int, int, int]
    pairs: float

    @property
    def positives(self) -> int:
        """Interactions that are left after all filters."""
        return self.fitted[-1]


def size_of(dataset: Dataset, rows: int) -> DataSize:
    """The size of a data set.

    Args:
        dataset: in memory.
        rows: interactions that were read.
    """
    later = 0 if dataset.later is None else len(dataset.later)
    held_out = len(dataset.validation), len(dataset.test) + later
    return _size(rows, dataset.n_items, dataset.train.counts(), held_out)


def size_of_folder(folder: Path) -> DataSize:
    """The size of a data set by its manifest and the file that :func:`names_to_read` names.

    Raises:
        InputError: if the folder is not that of a data set, or the file is missing or is none of offsets.
    """
    content = manifest.read_unchecked(folder, dataset_layout.KIND)
    manifest.require(folder, _OFFSETS)
    counts, profile = content["counts"], profile_in(folder)
    # the reader of the data set checks its checksums; counts that are missing are those of another version
    offsets = UntrustedFiles.of(folder, content["files"]).array(_OFFSETS, np.int64)
    held_out = int(counts["validation"]), int(counts["test"]) + int(counts.get("later", 0))
    rows = int(counts["train"]) + sum(held_out) if profile is None else profile.rows
    return _size(rows, int(counts["items"]), np.diff(offsets), held_out)


def names_to_read(names: Iterable[str]) -> list[str]:
    """Files of a data set that :func:`size_of_folder` reads, of those that are there."""
    return [name for name in names if name in (manifest.FILE_NAME, _OFFSETS)]


def _size(rows: int, items: int, counts: NDArray[np.int64], held_out: tuple[int, int]) -> DataSize:
    added = np.cumsum([0, *held_out])
    share = float((counts < MOST_POSITIVES).mean()) if len(counts) else 0.0  # of users whose held-out positives add
    in_epoch = int(np.minimum(counts, MOST_POSITIVES).sum()) + (added * share).astype(np.int64)
    fitted = int(counts.sum()) + added
    return DataSize(
        rows=rows,
        users=len(counts),
        items=items,
        fitted=(int(fitted[0]), int(fitted[1]), int(fitted[2])),
        in_epoch=(int(in_epoch[0]), int(in_epoch[1]), int(in_epoch[2])),
        pairs=float((counts.astype(np.float64) ** 2).sum()),
    )
