"""Lazy tables against torch's dense Adam."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import ITEM_TABLES, USER_TABLES, Network, initialise
from ncf.training import adam
from ncf.training.adam import AdamState, lazy_tables
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel import Kernel
from ncf.training.trainer import Trainer

from .conftest import Folders

USERS, ITEMS, STEPS = 60, 50, 300


def _network() -> Network:
    config = ModelConfig(model="neumf", factors=8, tower=[8, 4], n_users=USERS, n_items=ITEMS)
    network = Network(config, USERS)
    initialise(network, 1, 0.5, range(USERS), USERS)
    return network


def _rate(step: int) -> float:
    return 0.01 * (1 + step % 3)


@functools.cache
def _after_training(lazy: frozenset[str], compiled: bool) -> dict[str, np.ndarray]:
    """Weights after steps that each meet few rows; some rows are never met."""
    network, rng = _network(), np.random.default_rng(3)
    groups = [{"params": [weight], "weight_decay": 0.0} for weight in network.parameters()]
    # an epsilon that is small beside all gradients: it is what catching up approximates
    state = AdamState(network, torch.optim.Adam(groups, eps=1e-12), _rate, STEPS, lazy)
    kernel = Kernel(network, state, 2) if compiled else None
    for step in range(STEPS):
        users = torch.from_numpy(np.sort(rng.integers(0, USERS - 5, 4, dtype=np.int32)))
        items = torch.from_numpy(rng.integers(0, ITEMS - 5, (4, 3), dtype=np.int32))
        if kernel is not None:
            kernel.add_gradients(users, items, 1 / items.numel())
            kernel.update()
        else:
            met = users.unique(), items.unique()
            state.catch_up(*met)
            logits = network(users, items)
            labels = torch.zeros_like(logits)
            labels[:, 0] = 1
            network.zero_grad()
            torch.autograd.backward(F.binary_cross_entropy_with_logits(logits, labels))
            state.update(*met)
        if step in (STEPS // 2, STEPS - 1) and lazy:
            (kernel or state).settle()
        state.advance()
    return {name: weight.detach().numpy() for name, weight in network.named_parameters()}


@pytest.mark.parametrize("compiled", [False, True])
def test_without_l2_lazy_tables_go_where_dense_adam_takes_them(compiled: bool) -> None:
    dense = _after_training(frozenset(), compiled=False)
    lazy = _after_training(frozenset(name for name in dense if name in USER_TABLES + ITEM_TABLES), compiled)
    start = {name: weight.detach().numpy() for name, weight in _network().named_parameters()}
    for name, weight in dense.items():
        moved = np.abs(weight - start[name]).max()
        assert np.abs(lazy[name] - weight).max() < 0.02 * moved, name
        if name in USER_TABLES + ITEM_TABLES:
            np.testing.assert_array_equal(lazy[name][-5:], start[name][-5:])


def test_the_lazy_ones_are_the_tables_much_larger_than_a_step() -> None:
    network = _network()
    assert not lazy_tables(network, USERS, USERS, ITEMS)
    assert lazy_tables(network, USERS * 100, USERS, ITEMS) == {"user_gmf.weight", "user_mlp.weight"}
    assert lazy_tables(network, USERS, USERS, 1) == {"item_gmf.weight", "item_mlp.weight"}


def _trained(folders: Folders) -> Trainer:
    settings = Hyperparameters(
        model="neumf",
        factors=8,
        tower=[16, 8],
        epochs=30,
        batch_size=100,
        learning_rate=0.1,
        init_std=0.3,
        l2=0.01,
        patience=0,
        validation="sampled",
    )
    dataset, samples = folders.load()
    run = Trainer(dataset, samples, settings, World(0, 1, torch.device("cpu")))
    run.run()
    return run


def test_lazy_tables_learn_as_much_as_dense_ones(
    make_folders: Callable[..., Folders], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = []
    for above in (1e9, 0):
        monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": above, "items": above})
        run = _trained(make_folders())
        best.append(max(epoch["hr_at_10"] for epoch in run.record.epochs["selection"]))
    assert best[1] > 0.5
    assert abs(best[1] - best[0]) < 0.15
