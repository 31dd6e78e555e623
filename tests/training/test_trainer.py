"""Training as a whole: what it learns from, and that the same run gives the same weights however it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ncf.errors import InputError
from ncf.training import adam
from ncf.training.checkpoint import Checkpoints
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.trainer import STOPPED, Trainer

from .conftest import Folders

Weights = dict[str, NDArray[np.float32]]
QUICK = {"factors": 8, "tower": [16, 8], "epochs": 4, "batch_size": 500, "dropout": 0.1}
pytestmark = pytest.mark.usefixtures("one_thread")


def trainer(
    folders: Folders,
    checkpoints: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Trainer:
    hyperparameters = Hyperparameters(**{**QUICK, **settings})
    dataset, samples = folders.load()
    identity = hyperparameters.model_dump(mode="json") | {"dataset": samples.dataset}
    kept = Checkpoints(checkpoints, identity) if checkpoints else None
    return Trainer(dataset, samples, hyperparameters, World(0, 1, torch.device("cpu")), kept, stop)


def after(calls: int) -> Callable[[], bool]:
    """False so many times, then True."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def assert_same(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("model", "precision"), [("gmf", "float32"), ("mlp", "float32"), ("neumf", "float32"), ("mlp", "mixed")]
)
def test_finds_the_items_of_a_users_group(folders: Folders, model: str, precision: str) -> None:
    settings = {"epochs": 30, "learning_rate": 0.1, "init_std": 0.3, "dropout": 0.0, "patience": 0}
    run = trainer(folders, model=model, precision=precision, **settings)
    weights = run.run()
    assert {name: weight.shape for name, weight in weights.items()} == run.config.weight_shapes()
    selection = run.record.epochs["selection"]
    assert selection[run.record.best_epoch - 1]["ndcg_at_10"] == max(epoch["ndcg_at_10"] for epoch in selection)
    # 50 candidates: at random one positive in five is among the first ten
    assert selection[run.record.best_epoch - 1]["hr_at_10"] > 0.5
    assert len(run.record.epochs["final"]) == run.record.best_epoch


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(folders: Folders) -> None:
    weights = trainer(folders).run()
    assert_same(weights, trainer(folders).run())
    assert not np.array_equal(weights["item_gmf.weight"], trainer(folders, seed=2).run()["item_gmf.weight"])


def test_nothing_is_learnt_from_the_test_items(make_folders: Callable[..., Folders], folders: Folders) -> None:
    """But for the number of epochs: other test items are other candidates of the validation items."""
    assert_same(trainer(folders, epochs=1).run(), trainer(make_folders(other_test=True), epochs=1).run())


def test_without_validation_positives_all_epochs_are_fitted(folders: Folders) -> None:
    dataset, samples = folders.load()
    none = {"validation": samples.validation[:0]}
    samples = replace(samples, **none, validation_candidates=samples.validation_candidates[:0])
    settings = Hyperparameters(**QUICK)
    run = Trainer(replace(dataset, **none), samples, settings, World(0, 1, torch.device("cpu")))
    run.run()
    assert not run.record.epochs["selection"]
    assert len(run.record.epochs["final"]) == run.record.best_epoch == settings.epochs


def test_materialised_rounds_are_trained_on(make_folders: Callable[..., Folders], folders: Folders) -> None:
    with_rounds = make_folders(rounds=2)
    weights = trainer(with_rounds).run()
    assert_same(weights, trainer(with_rounds).run())
    assert not np.array_equal(weights["item_gmf.weight"], trainer(folders).run()["item_gmf.weight"])
    with pytest.raises(InputError, match="parameter 'negatives' is 5"):
        trainer(with_rounds, negatives=5).run()


def test_patience_ends_the_selection(folders: Folders) -> None:
    run = trainer(folders, epochs=40, patience=2, learning_rate=1.0)
    run.run()
    assert len(run.record.epochs["selection"]) == run.record.best_epoch + 2 < 40


@pytest.mark.parametrize("dropout", [0.0, 0.1])  # by the compiled step, and by torch
@pytest.mark.parametrize("weight", ["output.weight", "tower.0.weight", "item_mlp.weight"])
def test_a_loss_that_is_no_number_is_an_error_that_names_the_parameter(
    folders: Folders, weight: str, dropout: float
) -> None:
    run = trainer(folders, dropout=dropout)
    loop = run._loop("selection")
    torch.nn.init.constant_(loop.network.get_parameter(weight), float("nan"))
    with pytest.raises(InputError, match=r"learning_rate.*lower it"):
        run._run_fit("selection", loop)


# asked after each of 8 steps (9 in the final fit) and after each epoch
@pytest.mark.parametrize("calls", [3, 9, 25, 40])
def test_a_run_that_was_stopped_goes_on_to_the_very_same_weights(folders: Folders, tmp_path: Path, calls: int) -> None:
    whole = trainer(folders)
    expected = whole.run()
    with pytest.raises(SystemExit) as stopped:
        trainer(folders, tmp_path, after(calls)).run()
    assert stopped.value.code == STOPPED
    resumed = trainer(folders, tmp_path)
    assert_same(expected, resumed.run())
    for fit, records in whole.record.epochs.items():
        for record, again in zip(records, resumed.record.epochs[fit], strict=True):
            assert again["loss"] == pytest.approx(record["loss"])
            assert again.get("ndcg_at_10") == record.get("ndcg_at_10")


@pytest.mark.parametrize("dropout", [0.0, 0.1])  # by the compiled step, and by torch
def test_a_run_with_lazy_tables_goes_on_to_the_very_same_weights(
    folders: Folders, tmp_path: Path, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": 2, "items": 2})
    settings = {"batch_size": 50, "epochs": 2, "dropout": dropout}  # 80 steps an epoch, of 10 positives
    whole = trainer(folders, **settings)
    assert len(whole._loop("selection").step.adam.lazy) == 4
    expected = whole.run()
    with pytest.raises(SystemExit):
        trainer(folders, tmp_path, after(110), **settings).run()
    assert_same(expected, trainer(folders, tmp_path, **settings).run())


def test_a_damaged_checkpoint_is_passed_over(folders: Folders, tmp_path: Path) -> None:
    expected = trainer(folders).run()
    with pytest.raises(SystemExit):
        trainer(folders, tmp_path, after(30)).run()
    older, newest = sorted(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert_same(expected, trainer(folders, tmp_path).run())
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert_same(expected, trainer(folders, tmp_path).run())
    assert not older.exists()


def test_checkpoints_of_another_run_are_refused_by_what_differs(folders: Folders, tmp_path: Path) -> None:
    trainer(folders, tmp_path, epochs=1).run()
    with pytest.raises(InputError, match=r"epochs is 2 here and 1 there; l2 is 0\.5 here"):
        trainer(folders, tmp_path, epochs=2, l2=0.5).run()
