"""The L2 term of the embeddings against autograd of its definition."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import Network, initialise
from ncf.training.l2 import add_l2

USERS, ITEMS = 7, 11


def _network(model: str, **settings: Any) -> Network:
    config = ModelConfig(model=model, factors=4, tower=[6, 3], n_users=USERS, n_items=ITEMS)  # type: ignore[arg-type]
    network = Network(config, USERS, **settings)
    initialise(network, 1, 0.5, range(USERS), USERS)
    return network


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["gmf", "mlp", "neumf"]), st.integers(1, 20), st.integers(1, 4), st.integers(0, 99))
def test_each_sample_pulls_its_own_embeddings(model: str, positives: int, fan: int, seed: int) -> None:
    network, generator = _network(model), torch.Generator().manual_seed(seed)
    users = torch.randint(USERS, (positives,), generator=generator, dtype=torch.int32)
    items = torch.randint(ITEMS, (positives, fan), generator=generator, dtype=torch.int32)
    strength = torch.rand(positives, 1, generator=generator)
    tables = {name: weight for name, weight in network.named_parameters() if "gmf" in name or "_mlp" in name}
    expected = torch.zeros(())
    for name, weight in tables.items():
        rows = users.unsqueeze(1).expand_as(items) if name.startswith("user") else items
        expected = expected + 0.5 * (strength * weight[rows.long()].square().sum(2)).sum()
    torch.autograd.backward(expected)
    wanted = {name: weight.grad for name, weight in tables.items()}
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    add_l2(network, users, items, strength)
    for name, weight in network.named_parameters():
        one = torch.ones_like(weight)
        torch.testing.assert_close(
            weight.grad, one + wanted[name] if name in wanted else one, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize("model", ["gmf", "neumf"])
def test_a_fixed_output_is_a_matrix_factorisation_and_has_no_gradient(model: str) -> None:
    network = _network(model, fixed_gmf_output=True)
    assert torch.equal(network.output.weight[0, :4], torch.ones(4))
    users, items = torch.tensor([1, 5]), torch.tensor([[3, 4], [0, 3]])
    logits = network(users, items)
    if model == "gmf":
        products = (network.user_gmf(users).unsqueeze(1) * network.item_gmf(items)).sum(2)
        torch.testing.assert_close(logits, products + network.output.bias)
    torch.autograd.backward(logits.sum())
    gradient = network.output.weight.grad
    if model == "gmf":
        assert gradient is None
    else:
        assert gradient is not None
        assert not gradient[0, :4].any()
        assert gradient[0, 4:].any()
