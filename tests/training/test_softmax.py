"""The sampled softmax in closed form against autograd of its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ncf.training import softmax
from ncf.training.softmax import SampledSoftmax, cells_of_positives


def plain_loss(
    users: Tensor, negatives: Tensor, bias: Tensor, positive: Tensor, weight: Tensor, cells: Tensor
) -> Tensor:
    """Weighted sum of the cross-entropy of the positive among itself and the negatives that are not excluded."""
    scores = users @ negatives.T + bias
    excluded = torch.zeros(scores.shape, dtype=torch.bool)
    excluded[cells[0], cells[1]] = True
    rows = torch.cat([positive.unsqueeze(1), scores.masked_fill(excluded, -torch.inf)], 1)
    return (weight * (rows.logsumexp(1) - positive)).sum()


@given(
    rows=st.integers(1, 12),
    drawn=st.integers(1, 15),
    catalogue=st.integers(1, 9),
    cells_per_block=st.sampled_from([1, 20, 1 << 17]),
    size=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 999),
)
def test_loss_and_gradients_are_those_of_the_definition(
    rows: int, drawn: int, catalogue: int, cells_per_block: int, size: float, seed: int
) -> None:
    """With negatives that repeat, and that are the positives of some rows."""
    generator = torch.Generator().manual_seed(seed)
    positives = torch.randint(catalogue, (rows,), generator=generator)
    items = torch.randint(catalogue, (drawn,), generator=generator)
    shapes = [(rows, 4), (drawn, 4), (drawn,), (rows,)]
    inputs = [(size * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]
    weight, cells = 2 * torch.rand(rows, generator=generator), cells_of_positives(positives, items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, "_CELLS_PER_BLOCK", cells_per_block)
        found = SampledSoftmax.apply(*inputs, weight, cells)
    expected = plain_loss(*inputs, weight, cells)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    one, other = (torch.autograd.grad(3 * loss, inputs) for loss in (found, expected))
    for gradient, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4 * max(1.0, size))


def test_a_step_without_positives_has_no_loss_and_no_gradients() -> None:
    inputs = [torch.ones(shape, requires_grad=True) for shape in ((0, 4), (3, 4), (3,), (0,))]
    nothing = torch.empty(0, dtype=torch.int64)
    loss = SampledSoftmax.apply(*inputs, torch.ones(0), cells_of_positives(nothing, torch.tensor([1, 2, 3])))
    assert float(loss.detach()) == 0
    for gradient in torch.autograd.grad(loss, inputs):
        assert not gradient.any()


def test_a_row_whose_negatives_are_all_its_positive_has_no_loss() -> None:
    users, negatives = torch.ones(1, 2), torch.ones(2, 2)
    cells = cells_of_positives(torch.tensor([5]), torch.tensor([5, 5]))
    loss = SampledSoftmax.apply(users, negatives, torch.zeros(2), torch.tensor([-4.0]), torch.ones(1), cells)
    assert float(loss) == 0


@given(st.lists(st.integers(0, 6), max_size=12), st.lists(st.integers(0, 6), max_size=12))
def test_cells_are_all_pairs_of_equals_in_order_of_rows(positives: list[int], negatives: list[int]) -> None:
    found = cells_of_positives(torch.tensor(positives, dtype=torch.int64), torch.tensor(negatives, dtype=torch.int64))
    rows, columns = found.tolist()
    assert rows == sorted(rows)
    expected = [(r, c) for r, one in enumerate(positives) for c, other in enumerate(negatives) if one == other]
    assert sorted(zip(rows, columns, strict=True)) == expected
