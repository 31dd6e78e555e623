"""The compiled step against autograd, over shapes that fill vectors and shapes that don't."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.models.model_folder import ModelConfig
from ncf.models.networks import Network, initialise
from ncf.training import kernel
from ncf.training.kernel import Kernel

USERS, ITEMS = 37, 53


def _network(model: str, factors: int, tower: list[int], dropout: float = 0.0) -> Network:
    config = ModelConfig(model=model, factors=factors, tower=tower, n_users=USERS, n_items=ITEMS)  # type: ignore[arg-type]
    network = Network(config, USERS, dropout)
    initialise(network, 1, 0.5, range(USERS), USERS)
    return network


def _by_autograd(network: Network, users: torch.Tensor, items: torch.Tensor) -> float:
    logits = network(users, items)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    network.zero_grad()
    torch.autograd.backward(loss / labels.numel())
    return float(loss.detach())


def test_it_was_built() -> None:
    """With this installation's compiler; without one, the fallback is what all other tests exercise."""
    assert kernel.is_available()


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(["gmf", "mlp", "neumf"]),
    factors=st.integers(1, 70),
    half=st.integers(1, 40),
    hidden=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    positives=st.integers(1, 150),
    negatives=st.integers(1, 9),
    threads=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_equals_autograd(
    model: str, factors: int, half: int, hidden: list[int], positives: int, negatives: int, threads: int, seed: int
) -> None:
    network = _network(model, factors, [2 * half, *hidden])
    rng = np.random.default_rng(seed)
    users = torch.from_numpy(rng.integers(0, USERS, positives, dtype=np.int32))
    items = torch.from_numpy(rng.integers(0, ITEMS, (positives, 1 + negatives), dtype=np.int32))
    loss = _by_autograd(network, users, items)
    expected = {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}
    compiled = Kernel(network, threads)
    for _ in range(2):  # the second time the buffers are in use
        assert compiled.add_gradients(users, items, 1 / items.numel()) == pytest.approx(loss, rel=1e-5)
        for name, weight in network.named_parameters():
            assert weight.grad is not None
            torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: n + m)


def test_what_it_cannot_do_is_left_to_autograd() -> None:
    assert not Kernel.fits(_network("mlp", 8, [8, 4], dropout=0.1))
    assert not Kernel.fits(_network("mlp", 8, [8, *[4] * 17]))
    with pytest.raises(ValueError, match="at most 16 layers"):
        Kernel(_network("mlp", 8, [8, 4], dropout=0.1), 1)
