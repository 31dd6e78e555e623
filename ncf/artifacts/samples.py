"""The ``samples`` folder: written by negative sampling, read by training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.arrays import save_array
from ncf.artifacts.index_checks import Pairs, check_candidates, check_pairs, check_range
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError

KIND = "samples"
LEFT_OUT = "users_left_out"
"""Name of a count in the manifest and of a metric of evaluate."""
NOT_KNOWN: Mapping[str, str] = MappingProxyType({})
FitName = Literal["selection", "final", "hosted"]


@dataclass(frozen=True)
class Samples:
    """Candidates of each held-out positive, and the exclusion index of training.

    Attributes:
        n_users, n_items: sizes of the data set.
        validation: int32 [n, 2] held-out (user, item), sorted by user.
        validation_candidates: int32 [n, width] negatives of each validation positive.
        test: int32 [m, 2] held-out (user, item), sorted by user.
        test_candidates: int32 [m, width] negatives of each test positive. Those of the NCF release may contain the
            positive itself, which evaluation masks.
        exclusion: training positives, with sorted items of each user. They are not drawn as negatives while epochs
            are chosen. The final fit excludes the validation positives too. Test positives are never excluded, as
            that would leak them.
        dataset: fingerprint of the data set.
        fingerprint: of this folder; '' for samples that were not loaded.
        left_out: number of users with test positives but too few other items for the candidates. They have no rows
            here.
    """

    n_users: int
    n_items: int
    validation: Pairs
    validation_candidates: NDArray[np.int32]
    test: Pairs
    test_candidates: NDArray[np.int32]
    exclusion: ItemsByUser
    dataset: str = ""
    fingerprint: str = ""
    left_out: int = 0

    def save(self, folder: Path, parameters: Mapping[str, Any], made_by: Mapping[str, str] = NOT_KNOWN) -> None:
        """Write the arrays, and the manifest last.

        Args:
            folder: to write.
            parameters: of the stage.
            made_by: code and run, from :func:`ncf.artifacts.provenance.made_by`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        save_array(folder / "validation.npy", self.validation)
        save_array(folder / "validation_candidates.npy", self.validation_candidates)
        save_array(folder / "test.npy", self.test)
        save_array(folder / "test_candidates.npy", self.test_candidates)
        self.exclusion.save(folder, "exclusion")
        counts = {
            "users": self.n_users,
            "items": self.n_items,
            "validation": len(self.validation),
            "test": len(self.test),
            "candidates": self.test_candidates.shape[1],
            LEFT_OUT: self.left_out,
        }
        manifest.write(folder, KIND, counts, parameters, {"fingerprint": self.dataset, **made_by})

    @classmethod
    def load(cls, folder: Path) -> Samples:
        """Read a ``samples`` folder, memory-mapped, after a check against its manifest.

        Raises:
            InputError: if a file is missing, damaged or has the wrong shape, or an index is out of range.
        """
        content = manifest.read(folder, KIND)
        files = UntrustedFiles.of(folder, content["files"])
        pairs, candidates = {}, {}
        if missing := {"users", "items"} - content["counts"].keys():
            raise InputError(f"{folder / manifest.FILE_NAME}: counts has no '{min(missing)}'")
        n_users, n_items = content["counts"]["users"], content["counts"]["items"]
        for split in ("validation", "test"):
            pairs[split] = files.array(f"{split}.npy", np.int32, 2)
            candidates[split] = files.array(f"{split}_candidates.npy", np.int32, 2)
            if pairs[split].shape != (len(candidates[split]), 2):
                raise InputError(
                    f"{folder / split}.npy: shape {pairs[split].shape}; expected [{len(candidates[split])}, 2], "
                    f"a row for each row of {split}_candidates.npy"
                )
            check_pairs(folder / f"{split}.npy", pairs[split], n_users, n_items)
            check_candidates(folder / f"{split}_candidates.npy", candidates[split], n_items)
        exclusion = files.items_by_user("exclusion")
        if exclusion.n_users != n_users:
            raise InputError(f"{folder / 'exclusion_offsets.npy'}: {exclusion.n_users} users; expected {n_users}")
        check_range(folder / "exclusion_items.npy", exclusion.items, n_items)
        found = {split: len(rows) for split, rows in pairs.items()} | {"candidates": candidates["test"].shape[1]}
        manifest.check_counts(folder, content, found)
        return cls(
            n_users=n_users,
            n_items=n_items,
            validation=pairs["validation"],
            validation_candidates=candidates["validation"],
            test=pairs["test"],
            test_candidates=candidates["test"],
            exclusion=exclusion,
            dataset=str(content["source"].get("fingerprint", "")),
            fingerprint=manifest.fingerprint(content),
            left_out=int(content["counts"].get(LEFT_OUT, 0)),
        )
