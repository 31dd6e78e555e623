"""Steps of the history network: their loss, lazy tables against dense ones, and a fit that goes on elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncf.artifacts.model_folder import ModelFolder
from ncf.models.history_network import HistoryNetwork
from ncf.progress import Progress
from ncf.training import adam, history_batches
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.loop import FitLoop
from ncf.training.softmax_step import SoftmaxStep
from ncf.training.trainer import Trainer

from .conftest import Folders
from .test_fit import arguments

WORLD = World(0, 1, torch.device("cpu"))
WHOLE, SAMPLED = 120, 60  # of 120 items
DENSE, LAZY = 1e9, 0.0
pytestmark = pytest.mark.usefixtures("one_thread")


class _Bar(Progress):
    def update(self, n: int, /) -> None:
        pass


def loop_of(folders: Folders, timed: bool = True, **changes: Any) -> FitLoop:
    settings = {"factors": 8, "history": 4, "epochs": 3, "batch_size": 40, "init_std": 0.3, "learning_rate": 0.3}
    dataset, samples = folders.load()
    dataset = dataset if timed else replace(dataset, days=None)
    loop = Trainer(dataset, samples, Hyperparameters(**(settings | changes)), WORLD)._loop("selection")
    assert isinstance(loop.step, SoftmaxStep)
    return loop


def run_epochs(loop: FitLoop, epochs: int) -> list[float]:
    losses = []
    for _ in range(epochs):
        values = loop.run_epoch(lambda: False, _Bar())
        assert values is not None
        losses.append(values["loss"])
    return losses


def after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("timed", [True, False])
def test_the_loss_of_the_whole_catalogue_is_the_cross_entropy(folders: Folders, timed: bool) -> None:
    dataset, _ = folders.load()
    loop = loop_of(folders, timed, batch_size=800, shared_negatives=WHOLE, user_dropout=0, learning_rate=1e-9)
    network = loop.network
    assert isinstance(network, HistoryNetwork)
    expected = []
    for user in range(dataset.n_users):
        items = torch.from_numpy(dataset.train.of_user(user).astype(np.int64))
        for position, item in enumerate(items.tolist()):
            others = items[:position] if timed else torch.cat([items[:position], items[position + 1 :]])
            with torch.no_grad():
                scores = network.scores(network.of_users(others, torch.tensor([0, len(others)])))[0]
            expected.append(float(scores.logsumexp(0) - scores[item]))
    assert run_epochs(loop, 1) == [pytest.approx(np.mean(expected), rel=1e-5)]


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("negatives", [WHOLE, SAMPLED])
def test_lazy_tables_go_where_dense_ones_go(
    folders: Folders, timed: bool, negatives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, Tensor]] = []
    losses: list[list[float]] = []
    for above in (DENSE, LAZY):
        monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": above, "items": above})
        loop = loop_of(folders, timed, shared_negatives=negatives)
        assert loop.step.adam.lazy == (set() if above else {"item_gmf.weight", "item_bias.weight"})
        start = {name: weight.detach().clone() for name, weight in loop.network.named_parameters()}
        losses.append(run_epochs(loop, 3))
        found.append(loop.state.weights())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[0][-1] < losses[0][0]
    for name, weight in found[0].items():
        moved = float((weight - start[name]).abs().max())
        assert float((found[1][name] - weight).abs().max()) < 0.02 * moved, name


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("negatives", [WHOLE, SAMPLED])
def test_samples_of_the_catalogue_teach_what_the_whole_teaches(folders: Folders, timed: bool, negatives: int) -> None:
    """For a user of a group, items of the group come before all others."""
    dataset, _ = folders.load()
    loop = loop_of(folders, timed, epochs=15, shared_negatives=negatives)
    run_epochs(loop, 15)
    network = loop.network
    assert isinstance(network, HistoryNetwork)
    train = dataset.train
    with torch.no_grad():
        users = network.of_users(
            torch.from_numpy(np.array(train.items, np.int64)), torch.from_numpy(np.array(train.offsets))
        )
        best = network.scores(users).topk(20).indices
    own = best % 4 == torch.arange(dataset.n_users).unsqueeze(1) % 4
    assert float(own.float().mean()) > 0.9


def test_negatives_are_drawn_by_popularity_anew_in_each_step(folders: Folders) -> None:
    dataset, _ = folders.load()
    loop = loop_of(folders, shared_negatives=100)
    step = loop.step
    assert isinstance(step, SoftmaxStep)
    counts = np.zeros(120)
    draws = []
    for number in range(400):
        step._step = number
        drawn = step._drawn(step._generator()).numpy()
        draws.append(drawn)
        counts += np.bincount(drawn, minlength=120)
    assert not np.array_equal(draws[0], draws[1])
    weights = np.bincount(dataset.train.items, minlength=120) ** 0.75
    expected = 40_000 * weights / weights.sum()
    assert not counts[expected == 0].any()
    known = expected > 0
    statistic = ((counts[known] - expected[known]) ** 2 / expected[known]).sum()
    assert statistic < known.sum() + 5 * np.sqrt(2 * known.sum())


def test_a_share_of_users_vectors_is_dropped_anew_in_each_step_and_the_mean_stays(folders: Folders) -> None:
    step = loop_of(folders, user_dropout=0.3).step
    assert isinstance(step, SoftmaxStep)
    users = torch.ones(4000, 8)
    found = []
    for number in range(2):
        step._step = number
        found.append(step._dropped(users, step._generator()))
        assert float((found[-1] == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
        assert float(found[-1].mean()) == pytest.approx(1, abs=0.03)
    assert not torch.equal(*found)
    assert torch.equal(step._dropped(users, step._generator()), found[1])


def test_without_dropout_vectors_of_users_stay_as_they_are(folders: Folders) -> None:
    step = loop_of(folders, user_dropout=0).step
    assert isinstance(step, SoftmaxStep)
    users = torch.randn(10, 8)
    assert torch.equal(step._dropped(users, step._generator()), users)


@pytest.mark.parametrize("first_lazy", [True, False])
def test_a_fit_goes_on_elsewhere_where_other_tables_are_lazy(
    folders: Folders, first_lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = []
    for lazy in (first_lazy, not first_lazy, False):
        above = LAZY if lazy else DENSE
        monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": above, "items": above})
        loops.append(loop_of(folders, shared_negatives=SAMPLED))
    first, second, whole = loops
    assert first.run_epoch(after(7), _Bar()) is None
    second.restore({name: tensor.clone() for name, tensor in first.state.tensors().items()}, replace(first.position))
    run_epochs(second, 1)
    run_epochs(whole, 1)
    expected = dict(whole.network.named_parameters())
    for name, weight in second.network.named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=1e-2, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_positives_of_weight_2_count_as_two(folders: Folders) -> None:
    """In the loss of a step: that of a data set whose users of group 0 weigh twice as much as others."""
    dataset, samples = folders.load()
    settings = Hyperparameters(
        factors=8, epochs=1, batch_size=800, shared_negatives=WHOLE, user_dropout=0, learning_rate=1e-9
    )

    def loss(weights: np.ndarray | None) -> float:
        own = np.ones(len(dataset.train.items) + 160, np.float32) if weights is None else weights
        given = replace(dataset, weights=own)
        return run_epochs(Trainer(given, samples, settings, WORLD)._loop("selection"), 1)[0]

    of_part = []
    heavy = np.append(dataset.train.users() % 4 == 0, np.zeros(160, bool))
    for chosen in (heavy, ~heavy):
        tiny = np.where(chosen, 1, 1e-6).astype(np.float32)
        of_part.append(loss(tiny) * float(tiny[:800].mean()))
    both = loss((1 + heavy).astype(np.float32))
    assert both == pytest.approx((2 * of_part[0] + of_part[1]) / 1.25, rel=1e-4)
    assert loss(None) == pytest.approx(sum(of_part), rel=1e-4)


@pytest.mark.parametrize("processes", [1, 3])
def test_the_schedule_counts_the_positives_that_an_epoch_has(
    folders: Folders, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_batches, "MOST_POSITIVES", 7)
    dataset, samples = folders.load()
    settings = Hyperparameters(factors=4, epochs=1, batch_size=50, shared_negatives=20)
    for rank in range(processes):
        run = Trainer(dataset, samples, settings, World(rank, processes, torch.device("cpu")))
        schedule = run._loop("selection").schedule
        assert schedule.samples_per_epoch == 7 * dataset.n_users
        own = run._loop("selection")._source.epoch(1, schedule.steps_per_epoch).batches(0)
        assert sum(len(batch.rows) for batch in own) == schedule._positives[rank] == 7 * len(run._users)


def test_items_without_any_positive_and_users_without_one_do_no_harm(folders: Folders) -> None:
    dataset, samples = folders.load()
    offsets = np.minimum(np.array(dataset.train.offsets), 300)  # the first 30 users have all
    few = replace(dataset.train, offsets=offsets, items=np.array(dataset.train.items[:300]))
    settings = Hyperparameters(factors=4, epochs=2, batch_size=7, shared_negatives=20)
    run = Trainer(replace(dataset, train=few), samples, settings, WORLD)
    for weights in run.run().values():
        assert all(bool(weight.isfinite().all()) for weight in weights.values())


def trained_by(folders: Folders, folder: Path, processes: int, *more: str) -> ModelFolder:
    chosen = ["--model", "history", "--validation", "catalogue", "--processes-per-host", str(processes), *more]
    command = [sys.executable, "-m", "ncf", "fit", *arguments(folders, folder, *chosen)]
    subprocess.run(command, check=True, timeout=300)
    return ModelFolder.load(folder / "model")


@pytest.mark.slow
def test_two_processes_give_what_one_gives(folders: Folders, tmp_path: Path) -> None:
    """A step of all positives over the whole catalogue is the same sum, whoever owns which users."""
    more = ["--batch-size", "100000", "--shared-negatives", "120", "--user-dropout", "0", "--epochs", "4"]
    more += ["--patience", "0"]
    one, two = (trained_by(folders, tmp_path / str(n), n, *more) for n in (1, 2))
    for which in ("weights", "hosted_weights"):
        for name, weight in getattr(one, which).items():
            np.testing.assert_allclose(getattr(two, which)[name], weight, atol=2e-3, err_msg=f"{which} {name}")
    for first, second in zip(one.history["selection"], two.history["selection"], strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        assert first["hr_at_10"] == pytest.approx(second["hr_at_10"], abs=0.03)


@pytest.mark.slow
def test_two_processes_with_negatives_of_their_own_learn_as_much_as_one(folders: Folders, tmp_path: Path) -> None:
    more = ["--batch-size", "20", "--shared-negatives", "10", "--epochs", "12"]  # item tables are lazy
    one, two = (trained_by(folders, tmp_path / str(n), n, *more) for n in (1, 2))
    best_one, best_two = (max(epoch["hr_at_10"] for epoch in each.history["selection"]) for each in (one, two))
    assert best_two == pytest.approx(best_one, abs=0.12)
    assert best_two > 0.3  # at random one positive in eleven
