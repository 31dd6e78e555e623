"""Negatives a second on one core, against drawing one at a time and looking it up in a set."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.data import synthetic
from ncf.sampling.candidates import popularity
from ncf.sampling.negatives import draw_rows
from ncf.training.kernel.draws import Draws

USERS, ITEMS, INTERACTIONS = 6_040, 3_706, 1_000_000  # MovieLens 1M
NAIVE_ROWS = 20_000


def run() -> list[dict[str, Any]]:
    """A row for each way of drawing; ``ratio`` is to the naive one of the same width, in this run."""
    table = synthetic.generate(USERS, ITEMS, INTERACTIONS)
    known = ItemsByUser.of(table.user, table.item, USERS)
    weights = popularity(known, ITEMS)
    rows = []
    own, positives = torch.from_numpy(known.users()), torch.from_numpy(known.items)
    for width, users in ((4, known.users()), (99, np.arange(USERS, dtype=np.int32))):
        naive = _rate(lambda users=users, width=width: _naive(users[:NAIVE_ROWS], known, width))
        rows.append({"strategy": "naive", "negatives": width, "M_per_second": naive, "ratio": 1.0})
        for strategy in ("uniform", "popularity"):
            rate = _rate(
                lambda users=users, width=width, strategy=strategy: (
                    draw_rows(users, known, ITEMS, width, np.random.default_rng(0), strategy, weights).size
                )
            )
            rows.append({"strategy": strategy, "negatives": width, "M_per_second": rate, "ratio": rate / naive})
        for way, bitmap_bytes in (("bitmap", 1 << 30), ("search", 0)):
            draws = Draws(known, ITEMS, 1, bitmap_bytes)
            rate = _rate(lambda draws=draws, width=width: draws.draw(own, positives, width, 0)[1].numel())
            strategy = f"training, {way} (with repeats)"
            rows.append({"strategy": strategy, "negatives": width, "M_per_second": rate, "ratio": rate / naive})
    return rows


def _rate(draw: Callable[[], int]) -> float:
    """The best of three, in millions a second."""
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        drawn = draw()
        rates.append(drawn / (time.perf_counter() - start) / 1e6)
    return max(rates)


def _naive(users: np.ndarray, known: ItemsByUser, width: int) -> int:
    sets = {user: set(known.of_user(user).tolist()) for user in np.unique(users).tolist()}
    for user in users.tolist():
        row: list[int] = []
        while len(row) < width:
            item = random.randrange(ITEMS)
            if item not in sets[user] and item not in row:
                row.append(item)
    return len(users) * width
