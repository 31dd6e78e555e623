"""Users and items of the live model, in groups by their share of its training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.index_checks import check_range
from ncf.artifacts.model_folder import KIND
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.monitoring.drift import Histogram, effective_size

GROUPS = 10
"""Groups of users and of items: each has about a tenth of the training interactions."""
UNKNOWN = "unknown"
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Users or items in groups, the most frequent ones first, and a last group of those that the model does not know.

    Attributes:
        index: raw id -> index.
        counts: int64 [n], training interactions of each.
        group: int64 [n], group of each.
        reference: training interactions by group.
    """

    index: Mapping[str, int]
    counts: Counts
    group: Counts
    reference: Histogram

    @classmethod
    def of(cls, name: str, ids: Mapping[str, int], counts: Counts, cluster_size: float) -> Groups:
        """Groups by decreasing count.

        Args:
            name: of the distribution.
            ids: raw id -> index.
            counts: int64 [n].
            cluster_size: effective number of independent training interactions.
        """
        order = np.argsort(-counts, kind="stable")
        before = np.cumsum(counts[order]) - counts[order]
        share = before / max(1, int(counts.sum()))
        group = np.empty(len(counts), np.int64)
        group[order] = np.minimum(GROUPS - 1, (share * GROUPS).astype(np.int64))
        _, group = np.unique(group, return_inverse=True)
        filled = np.bincount(group, counts).astype(np.int64)
        sizes = np.bincount(group)
        labels = [f"{number} ({size:,})" for number, size in enumerate(sizes.tolist(), 1)]
        reference = Histogram(name, [*labels, UNKNOWN], [*filled.tolist(), 0], cluster_size)
        return cls(ids, counts, group, reference)

    def histogram(self, name: str, counts: Counts, effective: float) -> Histogram:
        """Counts by group.

        Args:
            name: of the distribution.
            counts: int64 [n or more], of each known user or item, then of unknown ones.
            effective: number of independent observations.
        """
        n = len(self.group)
        known = np.bincount(self.group, counts[:n], minlength=len(self.reference.labels) - 1).astype(np.int64)
        return Histogram(name, self.reference.labels, [*known.tolist(), int(counts[n:].sum())], effective)


@dataclass(frozen=True)
class Population:
    """Users and items of a model.

    Attributes:
        version: of the model.
        users, items: in groups.
        parameters: of the preprocess stage that read the training data, from the manifest; not checked.
    """

    version: str
    users: Groups
    items: Groups
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Population:
        """Read a ``model`` folder without its weights.

        Raises:
            InputError: if it is none, or a file is at fault.
        """
        content = manifest.read(folder, KIND)
        files = UntrustedFiles.of(folder, content["files"])
        user_ids, item_ids, seen = files.ids("user_ids"), files.ids("item_ids"), files.items_by_user("seen")
        check_range(folder / "seen_items.npy", seen.items, len(item_ids))
        return cls.of(
            {user: index for index, user in enumerate(user_ids)},
            {item: index for index, item in enumerate(item_ids)},
            _counted(seen.counts(), len(user_ids)),
            _counted(np.bincount(seen.items), len(item_ids)),
            manifest.version(content),
            _parameters(content),
        )

    @classmethod
    def of(
        cls,
        users: Mapping[str, int],
        items: Mapping[str, int],
        activity: Counts,
        popularity: Counts,
        version: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Population:
        """The population of some ids.

        Args:
            users, items: raw id -> index.
            activity, popularity: int64 [users] and [items], training interactions of each.
            version: of the model.
            parameters: of the preprocess stage.
        """
        size = effective_size(activity)
        groups = (Groups.of("users", users, activity, size), Groups.of("items", items, popularity, size))
        return cls(version, *groups, parameters or {})


def _counted(counts: NDArray[np.integer[Any]], n: int) -> Counts:
    """Counts with one entry for each of ``n`` ids."""
    return np.bincount(np.arange(len(counts)), counts, minlength=n)[:n].astype(np.int64)


def _parameters(content: Any) -> Mapping[str, Any]:
    """Parameters of the data set in a model's manifest; empty if there are none."""
    for name in ("source", "dataset", "parameters"):
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}
