"""The order of an epoch, whoever draws its negatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncf.training import batches
from ncf.training.batches import ShuffledEpoch


def test_the_order_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a positive comes in an epoch, and which come together, is up to chance alone."""
    monkeypatch.setattr(batches, "POSITIVES_AT_ONCE", 3)
    counts, together, epochs = np.zeros((12, 12)), 0, 2000

    def numbers(positives: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return positives, positives.unsqueeze(1)

    for seed in range(epochs):
        users, _ = zip(*ShuffledEpoch(numbers, 12, 6, seed, torch.device("cpu")).batches(0), strict=True)
        order = torch.cat(users).numpy()  # 6 steps of 2
        counts[order, np.arange(12)] += 1
        place_of = np.argsort(order)
        together += place_of[0] // 2 == place_of[1] // 2
    expected = epochs / 12
    statistic = ((counts - expected) ** 2 / expected).sum()  # chi squared of 121 degrees of freedom
    assert statistic < 121 + 4 * np.sqrt(2 * 121)
    assert together / epochs == pytest.approx(1 / 11, abs=4 * np.sqrt(1 / 11 / epochs))
