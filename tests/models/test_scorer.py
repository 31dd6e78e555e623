from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_model import random_model

from ncf.artifacts.model_folder import RECENCY_RATE, ModelFolder
from ncf.models.scorer import Scorer

MODELS = ("gmf", "mlp", "neumf", "history")
WIDE = {"n_users": 9, "n_items": 2500, "factors": 8, "tower": (32, 16, 8)}  # several blocks for each user


def scorer_of(model: ModelFolder) -> Scorer:
    return Scorer(model.config, model.weights, model.seen)


def as_published(model: ModelFolder, users: NDArray, items: NDArray) -> NDArray[np.float64]:
    """The equations of He et al. as they stand: embeddings concatenated, nothing factored, in float64."""
    config, parts = model.config, []
    w = {name: array.astype(np.float64) for name, array in model.weights.items()}
    if config.model == "history":
        table, vectors = w["item_gmf.weight"], np.zeros((config.n_users, config.factors))
        for user in range(config.n_users):
            latest = model.seen.of_user(user)[::-1][: config.history]
            shares = np.exp(RECENCY_RATE * w["recency"][: len(latest)])
            vectors[user] = np.exp(w["scale"]) * (shares / shares.sum()) @ table[latest]
        return (vectors[users] * table[items]).sum(axis=-1) + w["item_bias.weight"][items, 0]
    if config.model in ("gmf", "neumf"):
        parts.append(w["user_gmf.weight"][users] * w["item_gmf.weight"][items])
    if config.model in ("mlp", "neumf"):
        hidden = np.concatenate([w["user_mlp.weight"][users], w["item_mlp.weight"][items]], axis=-1)
        for layer in range(len(config.tower) - 1):
            hidden = np.maximum(hidden @ w[f"tower.{layer}.weight"].T + w[f"tower.{layer}.bias"], 0)
        parts.append(hidden)
    return np.concatenate(parts, axis=-1) @ w["output.weight"][0] + w["output.bias"][0]


def whole_table(model: ModelFolder) -> NDArray[np.float64]:
    users, items = np.indices((model.config.n_users, model.config.n_items))
    return as_published(model, users, items)


@given(
    name=st.sampled_from(MODELS),
    n_users=st.integers(1, 6),
    n_items=st.integers(1, 30),
    factors=st.integers(1, 9),
    half=st.integers(1, 6),
    layers=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_scores_are_those_of_the_published_equations(name, n_users, n_items, factors, half, layers, seed):
    tower = [2 * half, *layers]
    model = random_model(name, n_users, n_items, factors, tower, positives=min(n_items, 1 + seed), seed=seed)
    scorer = scorer_of(model)
    expected = whole_table(model)
    rng = np.random.default_rng(seed)
    users = rng.integers(0, n_users, 7)
    own = rng.integers(0, n_items, (7, 5))
    shared = np.unique(rng.integers(0, n_items, 4))
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(scorer.score_all(users), expected[users], **close)
    np.testing.assert_allclose(scorer.score_pairs(users, own), expected[users[:, None], own], **close)
    np.testing.assert_allclose(scorer.rescore(users, shared), expected[users][:, shared], **close)


@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_put_together_in_place(name):
    model = random_model(name, **WIDE)
    scorer = scorer_of(model)
    expected = whole_table(model)
    users = np.arange(9)[::-1]
    np.testing.assert_allclose(scorer.score_all(users), expected[users], rtol=1e-5, atol=1e-5)
    backwards = np.tile(np.arange(2500)[::-1], (9, 1))
    np.testing.assert_allclose(scorer.score_pairs(users, backwards), expected[users][:, ::-1], rtol=1e-5, atol=1e-5)
    assert scorer.score_all(np.array([], np.int64)).shape == (0, 2500)
    assert scorer.score_pairs(users, np.empty((9, 0), np.int64)).shape == (9, 0)


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])  # test_history_network.py has the other
def test_equals_the_forward_pass_that_is_trained(name):
    torch = pytest.importorskip("torch")
    from ncf.models.networks import Network

    model = random_model(name, **WIDE)
    network = Network(model.config, model.config.n_users)
    network.load_state_dict({key: torch.tensor(array) for key, array in model.weights.items()})
    users = np.arange(9)
    items = np.random.default_rng(1).integers(0, 2500, (9, 99))
    with torch.no_grad():
        expected = network(torch.tensor(users), torch.tensor(items)).numpy()
    np.testing.assert_allclose(scorer_of(model).score_pairs(users, items), expected, rtol=1e-5, atol=1e-5)


def test_memory_does_not_grow_with_the_activations():
    model = random_model("neumf", 100, 3000, 8, (64, 64, 32))
    scorer = scorer_of(model)
    items = np.broadcast_to(np.arange(3000), (100, 3000))
    users = np.arange(100)
    tracemalloc.start()
    scorer.score_pairs(users, items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    scores, activations = 100 * 3000 * 4, 100 * 3000 * 64 * 4
    assert peak < scores + 4e6 < activations / 10
