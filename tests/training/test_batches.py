"""An epoch drawn in chunks: every positive once, in a uniform order, the same wherever the epoch is begun."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.training import batches, kernel
from ncf.training.backends import make_source
from ncf.training.step import Epoch, EpochSource

CPU = torch.device("cpu")
CONFIG = ModelConfig(model="gmf", factors=1, tower=[], n_users=40, n_items=60)


@pytest.fixture
def positives() -> ItemsByUser:
    rng = np.random.default_rng(0)
    return ItemsByUser.of(np.repeat(np.arange(40, dtype=np.int32), 9), rng.integers(0, 60, 360).astype(np.int32), 40)


@pytest.fixture(params=["torch", "compiled"], autouse=True)
def _drawn_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(kernel, "is_available", lambda: False)
    else:
        assert kernel.is_available(), "it was not built with this installation: there was no C++ compiler at set-up"


def source(positives: ItemsByUser, users: range) -> EpochSource:
    return make_source(positives, None, positives, users, CONFIG, 3, [1, 2], CPU)


def joined(epoch: Epoch, first_step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    users, items = zip(*epoch.batches(first_step), strict=True)
    return torch.cat(users), torch.cat(items)


@pytest.mark.parametrize("at_once", [1, 50, 1 << 20])
def test_each_positive_comes_once_with_negatives_of_its_user(
    positives: ItemsByUser, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "POSITIVES_AT_ONCE", at_once)
    users, items = joined(source(positives, range(10, 30)).epoch(1, 13))
    known = set(zip(positives.users().tolist(), positives.items.tolist(), strict=True))
    found = [(user + 10, item) for user, item in zip(users.tolist(), items[:, 0].tolist(), strict=True)]
    assert sorted(found) == sorted(pair for pair in known if 10 <= pair[0] < 30)
    negatives = {(user + 10, item) for user, row in zip(users.tolist(), items[:, 1:].tolist()) for item in row}
    assert not negatives & known


@pytest.mark.parametrize("first_step", [0, 1, 6, 12])
def test_an_epoch_goes_on_as_it_would_have(
    positives: ItemsByUser, first_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "POSITIVES_AT_ONCE", 60)
    whole = list(source(positives, range(40)).epoch(3, 13).batches(0))
    rest = list(source(positives, range(40)).epoch(3, 13).batches(first_step))
    assert len(rest) == 13 - first_step
    for (users, items), (again_users, again_items) in zip(whole[first_step:], rest, strict=True):
        assert torch.equal(users, again_users)
        assert torch.equal(items, again_items)
