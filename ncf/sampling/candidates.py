"""Samples of a data set: candidates for evaluation, and rounds of training negatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset, Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import ROUNDS_FOLDER, FitName, Samples
from ncf.progress import progress
from ncf.sampling.negatives import Strategy, draw_rows

_ROWS_PER_BLOCK = 1 << 20  # drawn before they are written to a shard


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


def draw_rounds(
    samples: Samples, folder: Path, rounds: int, shards: int, negatives: int, strategy: Strategy, seed: int
) -> None:
    """Write rounds of training negatives for both fits.

    A file is int32 [rows, 2 + negatives]: user, item, and negatives of the fit, distinct in a row. Rows are sorted by
    user.

    Args:
        samples: of the data set.
        folder: of the samples.
        rounds: number of rounds.
        shards: files of a round.
        negatives: of each training positive in a round.
        strategy: ``uniform``, or ``popularity`` by training interactions.
        seed: of all draws.

    Raises:
        InputError: if a user has fewer than ``negatives`` items left.
    """
    output = folder / ROUNDS_FOLDER
    output.mkdir(parents=True)
    fits: list[tuple[FitName, ItemsByUser]] = [
        ("selection", samples.exclusion),
        ("final", samples.final_exclusion()),
    ]
    total = rounds * negatives * sum(len(known.items) for _, known in fits)
    weights = popularity(samples.exclusion, samples.n_items)
    with progress("drawing rounds of negatives", total, "negatives") as bar:
        for stream, (fit, known) in enumerate(fits):
            users = known.users()
            bounds = [int(bound) for bound in np.linspace(0, len(users), shards + 1).astype(np.int64)]
            for round_ in range(rounds):
                for shard, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
                    rng = np.random.default_rng([seed, 2 + stream, round_, shard])
                    path = output / f"{fit}-{round_:03d}-{shard:03d}.npy"
                    rows = open_memmap(path, "w+", np.int32, (end - start, 2 + negatives))
                    for first in range(start, end, _ROWS_PER_BLOCK):
                        last = min(first + _ROWS_PER_BLOCK, end)
                        block, part = rows[first - start : last - start], users[first:last]
                        block[:, 2:] = draw_rows(
                            part, known, samples.n_items, negatives, rng, strategy, weights, "negatives"
                        )
                        block[:, 0], block[:, 1] = part, known.items[first:last]
                        bar.update(block[:, 2:].size)
                    rows.flush()
