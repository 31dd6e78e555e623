"""The torch networks against the plain form of the paper, and against the numpy scorer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ncf.artifacts.model_folder import ModelConfig, ModelName
from ncf.models.networks import Network, initialise
from ncf.models.scorer import Scorer

N_USERS, N_ITEMS = 9, 30
SMALL_BATCH, LARGE_BATCH = (3, 4), (20, 5)  # fewer and more items than the catalogue has


def build(model: ModelName, dropout: float = 0.0, mixed_precision: bool = False) -> tuple[ModelConfig, Network]:
    config = ModelConfig(model=model, factors=6, tower=[12, 8, 4], n_users=N_USERS, n_items=N_ITEMS)
    network = Network(config, N_USERS, dropout, mixed_precision=mixed_precision)
    initialise(network, seed=3, init_std=0.5, users=range(N_USERS), n_users=N_USERS)
    return config, network


def plain_forward(config: ModelConfig, w: dict[str, Tensor], users: Tensor, items: Tensor) -> Tensor:
    """He et al. 2017, equations 9 to 12: embeddings of each pair side by side, one pair a row."""
    user, item = users.repeat_interleave(items.shape[1]), items.reshape(-1)
    parts = []
    if config.has_gmf:
        parts.append(w["user_gmf.weight"][user] * w["item_gmf.weight"][item])
    if config.has_tower:
        hidden = torch.cat([w["user_mlp.weight"][user], w["item_mlp.weight"][item]], 1)
        for layer in range(config.n_layers):
            hidden = torch.relu(hidden @ w[f"tower.{layer}.weight"].T + w[f"tower.{layer}.bias"])
        parts.append(hidden)
    logits = torch.cat(parts, 1) @ w["output.weight"].T + w["output.bias"]
    return logits.view(items.shape)


def batch(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    users = torch.randint(N_USERS, shape[:1], generator=generator, dtype=torch.int32)
    return users, torch.randint(N_ITEMS, shape, generator=generator, dtype=torch.int32)


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf"])
@pytest.mark.parametrize("shape", [SMALL_BATCH, LARGE_BATCH])
def test_scores_and_gradients_equal_the_plain_form(model: ModelName, shape: tuple[int, int]) -> None:
    config, network = build(model)
    users, items = batch(shape)
    weights = {name: value.detach().clone().requires_grad_() for name, value in network.named_parameters()}

    logits, expected = network(users, items), plain_forward(config, weights, users, items)
    torch.testing.assert_close(logits, expected)

    (logits**2).sum().backward()
    (expected**2).sum().backward()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.grad, weights[name].grad, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf"])
def test_the_scorer_that_serves_gives_the_same_scores(model: ModelName) -> None:
    config, network = build(model)
    users, items = batch(LARGE_BATCH)
    with torch.inference_mode():
        expected = network(users, items).numpy()
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    assert {name: weight.shape for name, weight in weights.items()} == config.weight_shapes()
    np.testing.assert_allclose(Scorer(config, weights).score_pairs(users.numpy(), items.numpy()), expected, atol=1e-5)


def test_the_initial_weights_do_not_depend_on_who_owns_which_users() -> None:
    config, whole = build("neumf")
    part = Network(config, 4)
    initialise(part, seed=3, init_std=0.5, users=range(2, 6), n_users=N_USERS)
    for name, weight in part.named_parameters():
        expected = dict(whole.named_parameters())[name]
        assert torch.equal(weight, expected[2:6] if name.startswith("user_") else expected)


def test_dropout_works_in_training_alone() -> None:
    _, network = build("mlp", dropout=0.5)
    users, items = batch(LARGE_BATCH)
    assert not torch.equal(network(users, items), network(users, items))
    network.eval()
    assert torch.equal(network(users, items), network(users, items))


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf"])
@pytest.mark.parametrize("shape", [SMALL_BATCH, LARGE_BATCH])
def test_mixed_precision_rounds_the_tower_alone_and_only_in_training(model: ModelName, shape: tuple[int, int]) -> None:
    (_, exact), (_, mixed) = build(model), build(model, mixed_precision=True)
    users, items = batch(shape)
    expected, logits = exact(users, items), mixed(users, items)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, expected) == (model == "gmf")
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.02)
    for of in (expected, logits):
        (of**2).sum().backward()
    for (name, weight), same in zip(mixed.named_parameters(), exact.parameters(), strict=True):
        assert weight.grad is not None
        assert same.grad is not None
        assert weight.grad.dtype == torch.float32
        assert torch.cosine_similarity(weight.grad.flatten(), same.grad.flatten(), 0) > 0.999, name
    assert torch.equal(mixed.eval()(users, items), exact.eval()(users, items))
