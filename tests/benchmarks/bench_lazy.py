"""A step on one core with a dense and with a lazy table of users: where the second one starts to be faster."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from ncf.models.model_folder import ModelConfig
from ncf.models.networks import Network
from ncf.training.adam import AdamState
from ncf.training.kernel import Kernel

FACTORS, POSITIVES, FAN, ITEMS = 64, 13_107, 5, 2_000  # a batch of 65,536 samples
STEPS = 12


def run() -> list[dict[str, Any]]:
    """A row for each size of the table; ``ratio`` is the dense step's time over the lazy one's."""
    rows = []
    for rows_per_positive in (1, 2, 4, 6, 8, 16, 32, 76):
        users = POSITIVES * rows_per_positive
        dense, lazy = (_milliseconds(users, tables) for tables in (frozenset(), frozenset(["user_gmf.weight"])))
        rows.append(
            {
                "users": users,
                "users_per_positive": rows_per_positive,
                "dense_ms": dense,
                "lazy_ms": lazy,
                "ratio": dense / lazy,
            }
        )
    return rows


def _milliseconds(users: int, lazy: frozenset[str]) -> float:
    rng = np.random.default_rng(0)
    config = ModelConfig(model="gmf", factors=FACTORS, tower=[2, 1], n_users=users, n_items=ITEMS)
    network = Network(config, users)
    groups = [{"params": [weight], "weight_decay": 0.0} for weight in network.parameters()]
    state = AdamState(network, torch.optim.Adam(groups), lambda _: 0.001, STEPS, lazy)
    kernel, times = Kernel(network, state, 1), []
    for _ in range(STEPS):
        own = torch.from_numpy(np.sort(rng.integers(0, users, POSITIVES, dtype=np.int32)))
        items = torch.from_numpy(rng.integers(0, ITEMS, (POSITIVES, FAN), dtype=np.int32))
        start = time.perf_counter()
        kernel.add_gradients(own, items, 1 / items.numel())
        kernel.update()
        state.advance()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:])) * 1000
