"""The compiled step against autograd, over shapes that fill vectors and shapes that don't."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import ITEM_TABLES, USER_TABLES, Network, initialise, is_tower
from ncf.training import kernel
from ncf.training.adam import AdamState
from ncf.training.kernel import Kernel

USERS, ITEMS = 37, 53


def _network(model: str, factors: int, tower: list[int], dropout: float = 0.0, fixed: bool = False) -> Network:
    config = ModelConfig(model=model, factors=factors, tower=tower, n_users=USERS, n_items=ITEMS)  # type: ignore[arg-type]
    network = Network(config, USERS, dropout, fixed)
    initialise(network, 1, 0.5, range(USERS), USERS)
    return network


def _has_kink(network: Network, users: torch.Tensor, items: torch.Tensor) -> bool:
    """Whether a hidden unit is so close to 0 that rounding decides if it has a gradient."""
    found, activated = [], network._activated

    def recorded(hidden: torch.Tensor) -> torch.Tensor:
        found.append(bool((hidden.abs() < 1e-6).any()))
        return activated(hidden)

    with torch.no_grad(), patch.object(network, "_activated", recorded):
        network(users, items)
    return any(found)


def _by_autograd(network: Network, users: torch.Tensor, items: torch.Tensor, l2: float = 0.0) -> float:
    logits = network(users, items)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    squares = sum(
        weight[rows.long()].square().sum() * repeats
        for name, weight in network.named_parameters()
        for tables, rows, repeats in ((USER_TABLES, users, items.shape[1]), (ITEM_TABLES, items, 1))
        if name in tables
    )
    network.zero_grad()
    torch.autograd.backward((loss + l2 / 2 * squares) / max(1, labels.numel()))
    return float(loss.detach())


def _state(network: Network, lazy: frozenset[str] = frozenset(), l2: float = 0.0) -> AdamState:
    """Of an optimiser whose rate changes from step to step.

    Its epsilon is large: with Adam's own, the rounding of a gradient that is all but 0 decides where its step leads.
    """
    groups = [
        {"params": [weight], "weight_decay": l2 if is_tower(name) else 0.0}
        for name, weight in network.named_parameters()
    ]
    return AdamState(network, torch.optim.Adam(groups, eps=1e-4), lambda step: 0.01 * (1 + step % 3), 50, lazy)


def _samples(
    rng: np.random.Generator, positives: int, fan: int, items: int = ITEMS
) -> tuple[torch.Tensor, torch.Tensor]:
    users = torch.from_numpy(rng.integers(0, USERS, positives, dtype=np.int32))
    return users, torch.from_numpy(rng.integers(0, items, (positives, fan), dtype=np.int32))


def _gradients(kernel: Kernel) -> dict[str, torch.Tensor]:
    """Gradients of ``add_gradients`` by name, of whole tables, as autograd's."""
    users, _ = kernel._samples
    found = {name: gradient for name, gradient in kernel._shared.items() if name in kernel._dense}
    for name, weight in kernel._tables.items():
        found[name] = torch.zeros_like(weight)
        if name in ITEM_TABLES:
            rows = slice(None) if kernel._rows is None else kernel._rows.long()
            found[name][rows] = kernel._shared[name]
        else:
            own = kernel._buffers[f"d_{name.removesuffix('.weight')}"][: len(users) * weight.shape[1]]
            first = torch.ones(len(users), dtype=torch.bool)
            first[1:] = users[1:] != users[:-1]
            found[name][users[first].long()] = own.view(len(users), weight.shape[1])[first]
    return found


def _tables(network: Network) -> frozenset[str]:
    return frozenset(name for name, _ in network.named_parameters() if name in USER_TABLES + ITEM_TABLES)


def test_it_was_built() -> None:
    """With this installation's compiler; without one, the fallback is what all other tests exercise."""
    assert kernel.is_available()


SHAPES = {
    "model": st.sampled_from(["gmf", "mlp", "neumf"]),
    "factors": st.integers(1, 70),
    "half": st.integers(1, 40),
    "hidden": st.lists(st.integers(1, 90), min_size=1, max_size=4),
    "positives": st.integers(0, 150),
    "negatives": st.integers(1, 9),
    "seed": st.integers(0, 1000),
    "lazy": st.booleans(),
}


@settings(max_examples=80, deadline=None)
@given(**SHAPES, threads=st.integers(1, 3), l2=st.sampled_from([0.0, 0.05]), fixed=st.booleans())
def test_gradients_equal_autograds(
    model: str,
    factors: int,
    half: int,
    hidden: list[int],
    positives: int,
    negatives: int,
    seed: int,
    lazy: bool,
    threads: int,
    l2: float,
    fixed: bool,
) -> None:
    network = _network(model, factors, [2 * half, *hidden], fixed=fixed)
    users, items = _samples(np.random.default_rng(seed), positives, 1 + negatives)
    assume(not _has_kink(network, users, items))
    loss = _by_autograd(network, users, items, l2)
    compiled = Kernel(network, _state(network, _tables(network) if lazy else frozenset()), threads, l2)
    for _ in range(2):  # the second time the buffers are in use
        assert compiled.add_gradients(users, items, 1 / max(1, items.numel())) == pytest.approx(loss, rel=1e-5)
        found = _gradients(compiled)
        for name, weight in network.named_parameters():
            wanted = torch.zeros_like(weight) if weight.grad is None else weight.grad  # of a fixed output
            torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: n + m)


@settings(max_examples=40, deadline=None)
@given(**SHAPES, l2=st.sampled_from([0.0, 0.01]))
def test_updates_equal_torchs(
    model: str,
    factors: int,
    half: int,
    hidden: list[int],
    positives: int,
    negatives: int,
    seed: int,
    lazy: bool,
    l2: float,
) -> None:
    """Weights and moments after some steps, of the compiled code and of the fallback."""
    tower = [2 * half, *hidden]
    one, other = _network(model, factors, tower), _network(model, factors, tower)
    names = _tables(one) if lazy else frozenset()
    compiled_state, state = _state(one, names, l2), _state(other, names, l2)
    compiled, rng = Kernel(one, compiled_state, 2, l2), np.random.default_rng(seed)
    for step in range(4):
        users, items = _samples(rng, positives, 1 + negatives)
        assume(not _has_kink(other, users, items))
        compiled.add_gradients(users, items, 1 / max(1, items.numel()))
        compiled.update()
        met = users.unique(), items.unique()
        state.catch_up(*met)
        _by_autograd(other, users, items, l2)
        state.update(*met)
        if step == 2:
            compiled.settle()
            state.settle()
        compiled_state.advance()
        state.advance()
        for (name, ours), weight in zip(one.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(ours, weight, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: n + m)
            ours.data.copy_(weight)  # lest rounding decides in a later step on which side of a kink they are
    for name, _ in other.named_parameters():
        # a sum of which all cancels is off by the rounding of its parts
        for mine, theirs, least in zip(compiled_state.moments(name), state.moments(name), (1e-6, 1e-9), strict=True):
            size = float(theirs.abs().sum() / max(1, theirs.count_nonzero()))
            torch.testing.assert_close(
                mine, theirs, rtol=1e-3, atol=max(least, 1e-3 * size), msg=lambda m, n=name: n + m
            )


@pytest.mark.parametrize("lazy", [False, True])
def test_weights_do_not_depend_on_the_number_of_threads(lazy: bool) -> None:
    weights = []
    for threads in (1, 2, 3, 5):
        network, rng = _network("neumf", 24, [48, 40, 9]), np.random.default_rng(7)
        state = _state(network, _tables(network) if lazy else frozenset(), 0.01)
        compiled = Kernel(network, state, threads, 0.01)
        for _ in range(5):
            users, items = _samples(rng, 1500, 5)
            compiled.add_gradients(users, items, 1 / items.numel())
            compiled.update()
            state.advance()
        weights.append({name: weight.detach().numpy() for name, weight in network.named_parameters()})
    for other in weights[1:]:
        for name, weight in weights[0].items():
            np.testing.assert_array_equal(weight, other[name], err_msg=name)


def test_what_it_cannot_do_is_left_to_autograd() -> None:
    assert not Kernel.fits(_network("mlp", 8, [8, 4], dropout=0.1))
    assert not Kernel.fits(_network("mlp", 8, [8, *[4] * 17]))
    with pytest.raises(ValueError, match="at most 16 layers"):
        network = _network("mlp", 8, [8, 4], dropout=0.1)
        Kernel(network, _state(network), 1)


def test_samples_of_rows_that_do_not_exist_are_refused() -> None:
    network = _network("gmf", 8, [2, 1])
    compiled = Kernel(network, _state(network), 1)
    users = torch.zeros(1, dtype=torch.int32)
    for item in (-1, ITEMS):
        with pytest.raises(ValueError, match="items not below 53"):
            compiled.add_gradients(users, torch.tensor([[0, item]], dtype=torch.int32), 1.0)
    with pytest.raises(ValueError, match="users are not all below 37"):
        compiled.add_gradients(users + USERS, torch.tensor([[0, 1]], dtype=torch.int32), 1.0)
