"""Whole steps on the device against the plain loop; on a CPU they run eagerly, on a GPU from a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ncf.models.networks import Network, initialise
from ncf.progress import Progress
from ncf.training import adam
from ncf.training.backends import make_source
from ncf.training.device_step import DeviceStep
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.loop import FitLoop
from ncf.training.step import Position
from ncf.training.trainer import model_config

from .conftest import Folders

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


class _Bar(Progress):
    def __init__(self) -> None:
        self.samples = 0

    def update(self, n: int, /) -> None:
        self.samples += n


def _loop(folders: Folders, on_device: bool, device: torch.device = CPU, **changes: float) -> FitLoop:
    # 800 positives in 11 steps, of 72 and of 73
    values = {
        "model": "neumf",
        "factors": 8,
        "tower": [16, 8, 4],
        "epochs": 3,
        "batch_size": 365,
        "init_std": 0.3,
        **changes,
    }
    settings = Hyperparameters(**values)
    dataset, samples = folders.load()
    config = model_config(settings, dataset)
    network = Network(config, dataset.n_users, settings.dropout)
    initialise(network, 1, settings.init_std, range(dataset.n_users), dataset.n_users)
    users, seed = range(dataset.n_users), [1, 0, 0]
    source = make_source(dataset.train, None, samples.exclusion, users, config, 4, seed, device)
    shares, bounds = np.array([len(dataset.train.items)]), np.array([0, dataset.n_users])
    popularity = np.bincount(dataset.train.items, minlength=dataset.n_items)
    return FitLoop(
        network.to(device), source, shares, bounds, popularity, settings, World(0, 1, device), seed, on_device
    )


def _whole(loop: FitLoop) -> tuple[dict[str, Tensor], list[float]]:
    losses = []
    for _ in range(3):
        values = loop.run_epoch(lambda: False, _Bar())
        assert values is not None
        losses.append(values["loss"])
    return loop.state.tensors(), losses


def _after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def _assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf"])
def test_equals_the_plain_loop_though_steps_differ_by_a_row(folders: Folders, model: str) -> None:
    loop = _loop(folders, True, model=model)
    assert len(folders.load()[0].train.items) % loop.schedule.steps_per_epoch, (
        "all steps are of one size: nothing is masked"
    )
    (weights, losses), (plain, plain_losses) = _whole(loop), _whole(_loop(folders, False, model=model))
    _assert_close(weights, plain)
    assert losses == pytest.approx(plain_losses, rel=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("first_on_device", [True, False])
def test_a_fit_goes_on_elsewhere_where_other_tables_are_lazy(
    folders: Folders, first_on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": 2, "items": 2})
    values = {"batch_size": 50, "l2": 0.0}  # without samples rows rest but for their moments, as dense Adam has it
    first, second = _loop(folders, first_on_device, **values), _loop(folders, not first_on_device, **values)
    assert len((second if first_on_device else first).step.adam.lazy) == 4
    assert first.run_epoch(_after(40), _Bar()) is None
    second.restore({name: tensor.clone() for name, tensor in first.state.tensors().items()}, replace(first.position))
    assert second.run_epoch(lambda: False, _Bar()) is not None
    whole = _loop(folders, False, **values)
    whole.run_epoch(lambda: False, _Bar())
    weights, expected = dict(second.network.named_parameters()), dict(whole.network.named_parameters())
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_it_is_deterministic_and_goes_on_to_the_very_same_weights(folders: Folders, dropout: float) -> None:
    expected, losses = _whole(_loop(folders, True, dropout=dropout))
    loop = _loop(folders, True, dropout=dropout)
    assert loop.run_epoch(lambda: False, _Bar()) is not None
    bar = _Bar()
    assert loop.run_epoch(_after(2), bar) is None
    assert loop.position.step == 3
    assert 0 < bar.samples < loop.schedule.samples_per_epoch
    resumed = _loop(folders, True, dropout=dropout)
    position = loop.position
    resumed.restore(loop.state.tensors(), Position(position.epoch, position.step, position.loss, position.seconds))
    again = []
    for _ in range(2):
        values = resumed.run_epoch(lambda: False, _Bar())
        assert values is not None
        again.append(values["loss"])
    for name, value in resumed.state.tensors().items():
        assert torch.equal(value, expected[name]), name
    assert again == pytest.approx(losses[1:])


@pytest.mark.gpu
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_graph_gives_what_eager_steps_give(folders: Folders, dropout: float) -> None:
    cuda = torch.device("cuda", 0)
    loop = _loop(folders, True, cuda, dropout=dropout)
    weights, losses = _whole(loop)
    assert isinstance(loop.step, DeviceStep)
    assert loop.step.is_captured
    plain, plain_losses = _whole(_loop(folders, False, cuda, dropout=dropout))
    assert losses == pytest.approx(plain_losses, rel=1e-3 if not dropout else 0.05)
    if not dropout:
        _assert_close(weights, plain)
