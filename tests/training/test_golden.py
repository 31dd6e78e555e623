"""Golden answers: what the torch network says, which what serves must say too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, ModelName
from ncf.errors import InputError
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.models.networks import Network, initialise
from ncf.models.ranker import Ranker
from ncf.models.scorer import Scorer
from ncf.training import golden
from ncf.training.golden import golden_answers

N_USERS, N_ITEMS = 23, 40
NONE = ItemsByUser(np.zeros(N_USERS + 1, np.int64), np.empty(0, np.int32))


def build(
    model: ModelName = "neumf", n_users: int = N_USERS, n_items: int = N_ITEMS
) -> tuple[ModelConfig, Network, dict[str, np.ndarray]]:
    config = ModelConfig(model=model, factors=6, tower=[12, 8, 4], n_users=n_users, n_items=n_items)
    network = Network(config, n_users)
    initialise(network, seed=3, init_std=0.5, users=range(n_users), n_users=n_users)
    return config, network, {name: weight.detach().numpy() for name, weight in network.named_parameters()}


def ids(letter: str, count: int) -> list[str]:
    return [f"{letter}{index}" for index in range(count)]


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf"])
@pytest.mark.parametrize("items_at_once", [7, 1 << 14])
def test_the_answers_are_the_networks(model: ModelName, items_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "_ITEMS_AT_ONCE", items_at_once)
    # what serves has no part in what is expected of it
    monkeypatch.setattr(Scorer, "__init__", lambda *_: pytest.fail("scored in numpy"))
    config, network, weights = build(model)
    answers = golden_answers(config, weights, ids("u", N_USERS), ids("i", N_ITEMS), NONE)
    assert [request.user for request in answers.requests] == ["u0", "u4", "u9", "u13", "u18"]
    with torch.inference_mode():
        scores = network(torch.arange(N_USERS), torch.arange(N_ITEMS).expand(N_USERS, -1)).numpy()
    for request in answers.requests:
        assert (request.request.k, request.request.exclude_seen) == (10, False)
        row = scores[int(request.user[1:])]
        items, found = [int(item.item[1:]) for item in request.items], [item.score for item in request.items]
        assert len(set(items)) == 10  # among those that tie, as in a tower whose units are all off, any will do
        np.testing.assert_allclose(found, row[items], atol=1e-5)
        np.testing.assert_allclose(found, np.sort(row)[::-1][:10], atol=1e-5)


@pytest.mark.parametrize("history", [0, 3])
def test_the_answers_of_a_history_network_are_those_of_what_serves(history: int) -> None:
    config = ModelConfig(model="history", factors=6, tower=[], n_users=N_USERS, n_items=N_ITEMS, history=history)
    network = HistoryNetwork(config)
    initialise_history(network, 3, 0.5, np.arange(N_ITEMS))
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    rng = np.random.default_rng(1)
    sizes = np.arange(N_USERS) % 7  # the first one has no item
    histories = ItemsByUser(np.cumsum([0, *sizes]), rng.integers(0, N_ITEMS, sizes.sum()).astype(np.int32))
    answers = golden_answers(config, weights, ids("u", N_USERS), ids("i", N_ITEMS), histories)
    items, scores = Ranker(config, weights, histories=histories).top_k(np.array([0, 4, 9, 13, 18]), 10)
    for request, row, of_row in zip(answers.requests, items.tolist(), scores.tolist(), strict=True):
        assert [item.item for item in request.items] == [f"i{item}" for item in row]
        assert [item.score for item in request.items] == pytest.approx(of_row, abs=1e-5)


def test_fewer_users_and_items_than_asked_for() -> None:
    config, _, weights = build(n_users=2, n_items=3)
    answers = golden_answers(config, weights, ids("u", 2), ids("i", 3), NONE)
    assert [request.user for request in answers.requests] == ["u0", "u1"]
    assert [(request.request.k, len(request.items)) for request in answers.requests] == [(3, 3)] * 2


def test_users_whose_ids_the_endpoint_refuses_are_not_asked_for() -> None:
    config, _, weights = build()
    users = ids("u", N_USERS)
    users[0] = "u" * 513
    assert golden_answers(config, weights, users, ids("i", N_ITEMS), NONE).requests[0].user == "u1"
    with pytest.raises(InputError, match="more than 512 characters"):
        golden_answers(config, weights, ["u" * 513] * N_USERS, ids("i", N_ITEMS), NONE)


def test_scores_that_are_not_finite_are_refused() -> None:
    config, _, weights = build()
    weights["item_gmf.weight"] = np.full_like(weights["item_gmf.weight"], np.nan)
    with pytest.raises(InputError, match="user 'u0' are not finite"):
        golden_answers(config, weights, ids("u", N_USERS), ids("i", N_ITEMS), NONE)
