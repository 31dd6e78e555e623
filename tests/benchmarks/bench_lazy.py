"""A step on one core with dense and with lazy tables, of users or of items: where lazy ones start to be faster."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
import torch

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import ITEM_TABLES, USER_TABLES, Network
from ncf.training.adam import AdamState
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel import Kernel

POSITIVES, FAN, FEW = 13_107, 5, 2_000  # a batch of 65,536 samples; of what is not measured there are few
TABLES = {"users": USER_TABLES, "items": ITEM_TABLES}
STEPS = 12


def run() -> list[dict[str, Any]]:
    """A row for each model, kind of table and size; ``ratio`` is the dense step's time over the lazy one's."""
    rows = []
    for model in ("neumf", "gmf"):
        for kind in TABLES:
            for times_as_many in (1, 2, 3, 4, 8, 16, 64):
                size = times_as_many * POSITIVES * (FAN if kind == "items" else 1)
                dense, lazy = (_milliseconds(model, kind, size, is_lazy) for is_lazy in (False, True))
                rows.append(
                    {
                        "model": model,
                        "table_of": kind,
                        "rows": size,
                        "rows_for_each_in_a_step": times_as_many,
                        "dense_ms": dense,
                        "lazy_ms": lazy,
                        "ratio": dense / lazy,
                    }
                )
    return rows


def _milliseconds(model: Literal["neumf", "gmf"], kind: str, size: int, is_lazy: bool) -> float:
    """Median of a step; positives are of popular items by Zipf's law, negatives of all alike."""
    rng = np.random.default_rng(0)
    n_users, n_items = {"users": (size, FEW), "items": (FEW, size)}[kind]
    settings = Hyperparameters(model=model)
    config = ModelConfig(model=model, factors=settings.factors, tower=settings.tower, n_users=n_users, n_items=n_items)
    network = Network(config, n_users)
    lazy = frozenset(name for name, _ in network.named_parameters() if is_lazy and name in TABLES[kind])
    popularity = 1 / np.arange(20, 20 + n_items)
    popularity /= popularity.sum()
    groups = [{"params": [weight], "weight_decay": 0.0} for weight in network.parameters()]
    state = AdamState(network, torch.optim.Adam(groups), lambda _: 0.001, STEPS, lazy)
    kernel, times = Kernel(network, state, 1), []
    for _ in range(STEPS):
        own = torch.from_numpy(np.sort(rng.integers(0, n_users, POSITIVES, dtype=np.int32)))
        drawn = rng.integers(0, n_items, (POSITIVES, FAN), dtype=np.int32)
        drawn[:, 0] = rng.choice(n_items, POSITIVES, p=popularity)
        items = torch.from_numpy(drawn)
        start = time.perf_counter()
        kernel.add_gradients(own, items, 1 / items.numel())
        kernel.update()
        state.advance()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:])) * 1000
