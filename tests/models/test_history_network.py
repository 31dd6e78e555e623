"""The history network against plain loops over the users' items, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import RECENCY_RATE, ModelConfig
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.models.scorer import Scorer

N_ITEMS, FACTORS = 30, 5


def build(history: int) -> tuple[ModelConfig, HistoryNetwork]:
    config = ModelConfig(model="history", factors=FACTORS, tower=[], n_users=9, n_items=N_ITEMS, history=history)
    network = HistoryNetwork(config)
    initialise_history(network, 3, 0.5, np.arange(N_ITEMS))
    assert {name: tuple(weight.shape) for name, weight in network.named_parameters()} == config.weight_shapes()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.scale.fill_(0.7)
        if history:
            network.recency.normal_(0, 1 / RECENCY_RATE, generator=generator)
    return config, network


def plain_vector(network: HistoryNetwork, embeddings: list[Tensor]) -> Tensor:
    """Mean of a user's embeddings, oldest first, as the equations say."""
    if not embeddings:
        return torch.zeros(FACTORS)
    if not network.is_sequential:
        return network.scale.exp() * torch.stack(embeddings).sum(0) / len(embeddings)
    latest = embeddings[::-1][: len(network.recency)]
    weights = (RECENCY_RATE * network.recency[: len(latest)]).exp()
    return network.scale.exp() * (weights.unsqueeze(1) * torch.stack(latest)).sum(0) / weights.sum()


def assert_equal_with_gradients(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    gradients = torch.autograd.grad((found * weights).sum(), inputs, allow_unused=True)
    wanted = (None,) * len(inputs)  # of users without items
    if expected.requires_grad:
        wanted = torch.autograd.grad((expected * weights).sum(), inputs, allow_unused=True)
    for one, other, leaf in zip(gradients, wanted, inputs, strict=True):
        zero = torch.zeros_like(leaf)
        torch.testing.assert_close(zero if one is None else one, zero if other is None else other, atol=1e-4, rtol=1e-4)


SIZES = st.lists(st.integers(0, 9), max_size=6)


def offsets_of(sizes: list[int]) -> Tensor:
    return torch.tensor([0, *sizes]).cumsum(0)


@settings(max_examples=40)
@given(sizes=SIZES, history=st.integers(1, 8), seed=st.integers(0, 99))
def test_before_each_positive_are_those_before_it(sizes: list[int], history: int, seed: int) -> None:
    _, network = build(history)
    offsets, total = offsets_of(sizes), sum(sizes)
    rows = torch.randn(total, FACTORS, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    begin = torch.repeat_interleave(offsets[:-1], offsets.diff())
    found = network.before_each(rows, begin)
    plain = [
        plain_vector(network, list(rows[first : first + position]))
        for first, size in zip(offsets.tolist(), sizes, strict=False)
        for position in range(size)
    ]
    expected = torch.stack(plain) if plain else torch.zeros(0, FACTORS)
    assert found.shape == (total, FACTORS)
    if total:
        assert_equal_with_gradients(found, expected, [rows, network.recency, network.scale])


@given(sizes=SIZES, seed=st.integers(0, 99))
def test_without_a_positive_are_all_others(sizes: list[int], seed: int) -> None:
    _, network = build(0)
    offsets, total, generator = offsets_of(sizes), sum(sizes), torch.Generator().manual_seed(seed)
    table = torch.randn(N_ITEMS, FACTORS, generator=generator).requires_grad_()
    items = torch.cat([torch.randperm(N_ITEMS, generator=generator)[:size] for size in [*sizes, 0]])
    positions = torch.randperm(total, generator=generator)[: (total + 1) // 2]  # the step has some of them
    owners = torch.repeat_interleave(offsets.diff())[positions]
    found = network.without(table, items, offsets, table[items[positions]], owners)
    plain = []
    for position, owner in zip(positions.tolist(), owners.tolist(), strict=True):
        others = [row for row in range(int(offsets[owner]), int(offsets[owner + 1])) if row != position]
        plain.append(plain_vector(network, [table[items[row]] for row in others]))
    assert found.shape == (len(positions), FACTORS)
    if plain:
        assert_equal_with_gradients(found, torch.stack(plain), [table, network.scale])


@given(sizes=SIZES, history=st.integers(0, 8), seed=st.integers(0, 99))
def test_users_are_the_means_of_their_latest_items_and_the_scorer_that_serves_agrees(
    sizes: list[int], history: int, seed: int
) -> None:
    config, network = build(history)
    offsets, generator = offsets_of(sizes), torch.Generator().manual_seed(seed)
    items = torch.randint(N_ITEMS, (sum(sizes),), generator=generator)
    found = network.of_users(items, offsets)
    assert found.shape == (len(sizes), FACTORS)
    if not sizes:
        return
    embeddings = network.item_gmf.weight[items]
    expected = torch.stack([plain_vector(network, list(part)) for part in torch.split(embeddings, sizes)])
    assert_equal_with_gradients(found, expected, list(network.parameters()))

    scores = network.scores(found).detach()
    logits = expected @ network.item_gmf.weight.T + network.item_bias.weight[:, 0]
    torch.testing.assert_close(scores, logits.detach())
    own = torch.randint(N_ITEMS, (len(sizes), 4), generator=generator)
    torch.testing.assert_close(network.scores_of(found, own).detach(), scores.gather(1, own))

    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    histories = ItemsByUser(offsets.numpy(), items.numpy().astype(np.int32))
    scorer, users = Scorer(config, weights, histories), np.arange(len(sizes))
    np.testing.assert_allclose(scorer.score_all(users), scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scorer.score_pairs(users, own.numpy()), scores.gather(1, own), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        scorer.rescore(users[::-1], np.array([7, 3])), scores[:, [7, 3]].flip(0), rtol=1e-5, atol=1e-5
    )
    other = Scorer(config, weights, ItemsByUser(np.zeros(3, np.int64), np.empty(0, np.int32)))
    np.testing.assert_array_equal(other.with_histories(histories).score_all(users), scorer.score_all(users))
    np.testing.assert_array_equal(other.score_all(np.arange(2)), np.tile(weights["item_bias.weight"][:, 0], (2, 1)))


def test_the_order_counts_with_times_alone() -> None:
    items, turned, offsets = torch.tensor([3, 8, 20]), torch.tensor([20, 8, 3]), torch.tensor([0, 3])
    for history in (0, 2):
        _, network = build(history)
        same = torch.allclose(network.of_users(items, offsets), network.of_users(turned, offsets))
        assert same == (history == 0)


@pytest.mark.parametrize("history", [0, 4])
def test_users_without_items_get_popular_ones_at_first(history: int) -> None:
    config = ModelConfig(model="history", factors=FACTORS, tower=[], n_users=9, n_items=N_ITEMS, history=history)
    popularity = np.random.default_rng(0).permutation(N_ITEMS)
    first, again = HistoryNetwork(config), HistoryNetwork(config)
    for network in (first, again):
        initialise_history(network, 3, 0.5, popularity)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    scores = first.scores(first.of_users(torch.empty(0, dtype=torch.int64), torch.tensor([0, 0])))[0]
    assert scores.argsort().tolist() == np.argsort(popularity).tolist()
    if history:
        assert bool((first.recency.diff() < 0).all()), "recent items weigh more"


def test_gradients_do_not_depend_on_the_order_of_threads() -> None:
    """Sums of indexed rows are atomic additions in torch, whose order differs from call to call."""
    users, of_each = 201, 97  # ranges of threads end within a user
    network = build(0)[1]
    random = torch.Generator().manual_seed(1)
    items = torch.randint(0, N_ITEMS, (users * of_each,), generator=random)
    offsets, owners = torch.arange(users + 1) * of_each, torch.arange(users).repeat_interleave(of_each)
    factors = 64
    scales = torch.randn(len(items), factors, generator=random)
    values = torch.randn(N_ITEMS, factors, generator=random)

    def gradient() -> Tensor:
        table = values.clone().requires_grad_()
        own = torch.nn.functional.embedding(items, table)
        (network.without(table, items, offsets, own, owners) * scales).sum().backward()
        assert table.grad is not None
        return table.grad

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        first = gradient()
        assert all(torch.equal(gradient(), first) for _ in range(20))
    finally:
        torch.set_num_threads(before)
