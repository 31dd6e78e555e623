"""Samples of a data set: candidates for evaluation, and the exclusion index of training."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.sampling.negatives import Strategy, draw_rows

_MOST_LEFT_OUT = 0.5
"""Highest share of the users with held-out positives that an evaluation may leave out."""
_ADVISED_LEFT_OUT = 0.05
"""Share of these users that the advised number of candidates leaves out, at most."""
_log = logging.getLogger(__name__)


def draw_candidates(dataset: Dataset, candidates: int, strategy: Strategy, seed: int, fingerprint: str) -> Samples:
    """Candidates of held-out positives, drawn from the items that the user has never interacted with.

    A data set from the NCF release format has test negatives of its own, which are kept. Held-out positives of users
    with fewer than ``candidates`` other items are left out.

    Args:
        dataset: to draw for.
        candidates: negatives of each held-out positive.
        strategy: ``uniform``, or ``popularity`` by training interactions.
        seed: of all draws.
        fingerprint: of the data set.

    Raises:
        InputError: if more than half of the users would be left out, or the data set has a positive more than once:
            one that is held out and in training would be ranked by a model that has seen it.
    """
    positives = dataset.positives_up_to("test").in_order()
    stated = len(dataset.train.items) + len(dataset.validation) + len(dataset.test)
    if repeated := stated - len(positives.items):
        raise InputError(
            f"{repeated:,} of {stated:,} positives of training, validation and test are given more than once; expected "
            "each pair of user and item once"
        )
    weights = popularity(dataset.train, dataset.n_items)
    drawn_for = [dataset.validation, *([dataset.test] if dataset.test_negatives is None else [])]
    kept = _users_kept(np.concatenate(drawn_for)[:, 0], positives, dataset.n_items, candidates)

    def drawn(pairs: Pairs, stream: int) -> tuple[Pairs, NDArray[np.int32]]:
        rng = np.random.default_rng([seed, stream])
        pairs = pairs[kept[pairs[:, 0]]]
        return pairs, draw_rows(pairs[:, 0], positives, dataset.n_items, candidates, rng, strategy, weights)

    validation, validation_candidates = drawn(dataset.validation, 0)
    if dataset.test_negatives is None:
        test, test_candidates = drawn(dataset.test, 1)
    else:
        test, test_candidates = dataset.test, dataset.test_negatives
    return Samples(
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        validation=validation,
        validation_candidates=validation_candidates,
        test=test,
        test_candidates=test_candidates,
        exclusion=dataset.train.in_order(),
        dataset=fingerprint,
        left_out=len(np.unique(dataset.test[:, 0])) - len(np.unique(test[:, 0])),
    )


def _users_kept(
    held_out: NDArray[np.int32], positives: ItemsByUser, n_items: int, candidates: int
) -> NDArray[np.bool_]:
    """Users, bool [users], with enough items without an interaction.

    Args:
        held_out: int32 [n], users of the held-out positives.
        positives: all positives of each user.
        n_items: size of the catalogue.
        candidates: negatives of each held-out positive.

    Raises:
        InputError: if more than half of the users of ``held_out`` lack items.
    """
    remaining = n_items - positives.counts()
    kept = remaining >= candidates
    users = np.unique(held_out)
    left_out = int(np.count_nonzero(~kept[users]))
    if not left_out:
        return kept
    found = (
        f"{left_out:,} of {len(users):,} users with held-out items have fewer than {candidates} of the {n_items:,} "
        "items left as negatives"
    )
    if left_out > _MOST_LEFT_OUT * len(users):
        raise InputError(f"parameter 'candidates' is {candidates}: {found}; {_advice(remaining[users])}")
    _log.warning("%s (parameter 'candidates'): they are left out of the evaluation, and stay in training", found)
    return kept


def _advice(remaining: NDArray[np.int64]) -> str:
    """Advice by the number of items without an interaction of each user, int64 [users]."""
    ordered = np.sort(remaining)
    least = [int(ordered[int(share * len(ordered))]) for share in (_ADVISED_LEFT_OUT, _MOST_LEFT_OUT)]
    if most := next(filter(None, least), 0):
        return f"lower 'candidates' to {most} at most"
    return "most have interacted with every item: more items are needed, or data without such users"


def popularity(train: ItemsByUser, n_items: int) -> NDArray[np.int64]:
    """Training interactions of each item, int64 [n_items]; at least 1."""
    return np.maximum(np.bincount(train.items, minlength=n_items), 1)
