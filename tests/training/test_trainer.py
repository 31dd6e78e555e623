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

Weights = dict[str, dict[str, NDArray[np.float32]]]
"""By fit and name."""
QUICK = {"model": "neumf", "factors": 8, "tower": [16, 8], "epochs": 4, "batch_size": 500, "dropout": 0.1}
MODELS = {"neumf": {}, "history": {"model": "history", "batch_size": 100, "shared_negatives": 60, "learning_rate": 0.2}}
FITS = {"final", "hosted"}
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
    for fit in one:
        assert_equal(one[fit], other[fit])


def assert_equal(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("model", "precision"),
    [("gmf", "float32"), ("mlp", "float32"), ("neumf", "float32"), ("mlp", "mixed"), ("history", "float32")],
)
def test_finds_the_items_of_a_users_group(folders: Folders, model: str, precision: str) -> None:
    settings = {
        "epochs": 30,
        "learning_rate": 0.1,
        "init_std": 0.3,
        "dropout": 0.0,
        "patience": 0,
        "validation": "sampled",
    }
    run = trainer(folders, model=model, precision=precision, **settings)
    weights = run.run()
    assert weights.keys() == FITS
    for of_fit in weights.values():
        assert {name: weight.shape for name, weight in of_fit.items()} == run.config.weight_shapes()
    selection = run.record.epochs["selection"]
    assert selection[run.record.best_epoch - 1]["ndcg_at_10"] == max(epoch["ndcg_at_10"] for epoch in selection)
    # 50 candidates: at random one positive in five is among the first ten
    assert selection[run.record.best_epoch - 1]["hr_at_10"] > 0.5
    assert len(run.record.epochs["final"]) == run.record.best_epoch


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(folders: Folders, model: str) -> None:
    settings = MODELS[model]
    weights = trainer(folders, **settings).run()
    assert_same(weights, trainer(folders, **settings).run())
    other = trainer(folders, **settings, seed=2).run()
    for fit in FITS:
        assert not np.array_equal(weights[fit]["item_gmf.weight"], other[fit]["item_gmf.weight"])


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_learnt_from_the_test_items_but_by_what_is_hosted(
    make_folders: Callable[..., Folders], folders: Folders, model: str
) -> None:
    one, other = (trainer(each, **MODELS[model]) for each in (folders, make_folders(other_test=True)))
    weights, of_other = one.run(), other.run()
    assert_equal(weights["final"], of_other["final"])
    assert one.record.best_epoch == other.record.best_epoch
    for first, second in zip(one.record.epochs["selection"], other.record.epochs["selection"], strict=True):
        assert first["ndcg_at_10"] == second["ndcg_at_10"]
    assert not np.array_equal(weights["hosted"]["item_gmf.weight"], of_other["hosted"]["item_gmf.weight"])


def test_without_a_refit_the_fit_is_the_same_but_nothing_is_hosted(folders: Folders) -> None:
    weights = trainer(folders, refit=False).run()
    assert weights.keys() == {"final"}
    assert_equal(weights["final"], trainer(folders).run()["final"])


def test_what_is_hosted_is_fitted_on_all_positives_as_long_as_what_is_evaluated(folders: Folders) -> None:
    dataset, _ = folders.load()
    run = trainer(folders)
    run.run()
    assert len(run.record.epochs["hosted"]) == len(run.record.epochs["final"]) == run.record.best_epoch
    for fit, extra in (("selection", 0), ("final", 1), ("hosted", 2)):
        assert len(run._positives[fit].items) == len(dataset.train.items) + extra * dataset.n_users
    assert run._positives["hosted"].of_user(3).tolist() == [
        *dataset.train.of_user(3),
        dataset.validation[3, 1],
        dataset.test[3, 1],
    ]


def test_without_validation_positives_all_epochs_are_fitted(folders: Folders) -> None:
    dataset, samples = folders.load()
    none = {"validation": samples.validation[:0]}
    samples = replace(samples, **none, validation_candidates=samples.validation_candidates[:0])
    settings = Hyperparameters(**QUICK)
    run = Trainer(replace(dataset, **none), samples, settings, World(0, 1, torch.device("cpu")))
    run.run()
    assert not run.record.epochs["selection"]
    assert len(run.record.epochs["final"]) == run.record.best_epoch == settings.epochs


def test_patience_ends_the_selection(folders: Folders) -> None:
    run = trainer(folders, epochs=40, patience=2, learning_rate=1.0)
    run.run()
    assert len(run.record.epochs["selection"]) == run.record.best_epoch + 2 < 40


@pytest.mark.parametrize("dropout", [0.0, 0.1])  # by the compiled step, and by torch
@pytest.mark.parametrize("weight", ["output.weight", "tower.0.weight", "item_mlp.weight"])
def test_a_loss_that_is_no_number_is_an_error_that_names_the_parameter(
    folders: Folders, weight: str, dropout: float
) -> None:
    assert_no_number_is_an_error(trainer(folders, dropout=dropout), weight)


@pytest.mark.parametrize("weight", ["item_gmf.weight", "item_bias.weight", "recency", "scale"])
def test_a_loss_of_a_history_model_that_is_no_number_is_an_error_too(folders: Folders, weight: str) -> None:
    assert_no_number_is_an_error(trainer(folders, **MODELS["history"]), weight)


def assert_no_number_is_an_error(run: Trainer, weight: str) -> None:
    loop = run._loop("selection")
    torch.nn.init.constant_(loop.network.get_parameter(weight), float("nan"))
    with pytest.raises(InputError, match=r"learning_rate.*lower it"):
        run._run_fit("selection", loop)


# asked after each of 8 steps (9 in the final fit, 10 in the hosted one) and after each epoch; -3: near the end
@pytest.mark.parametrize("calls", [3, 9, 25, 40, -3])
@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_was_stopped_goes_on_to_the_very_same_weights(
    folders: Folders, tmp_path: Path, calls: int, model: str
) -> None:
    settings, asked = MODELS[model], list[None]()
    whole = trainer(folders, stop=lambda: bool(asked.append(None)), **settings)
    expected = whole.run()
    with pytest.raises(SystemExit) as stopped:
        trainer(folders, tmp_path, after(calls % len(asked)), **settings).run()
    assert stopped.value.code == STOPPED
    resumed = trainer(folders, tmp_path, **settings)
    assert_same(expected, resumed.run())
    for fit, records in whole.record.epochs.items():
        for record, again in zip(records, resumed.record.epochs[fit], strict=True):
            assert again["loss"] == pytest.approx(record["loss"])
            assert again.get("ndcg_at_10") == record.get("ndcg_at_10")


@pytest.mark.parametrize(
    ("settings", "lazy"),
    [
        ({"dropout": 0.0}, 4),  # by the compiled step
        ({"dropout": 0.1}, 4),  # by torch
        ({"model": "history", "batch_size": 10, "shared_negatives": 20, "learning_rate": 0.2}, 2),
    ],
)
def test_a_run_with_lazy_tables_goes_on_to_the_very_same_weights(
    folders: Folders, tmp_path: Path, settings: dict[str, Any], lazy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adam, "LAZY_ABOVE", {"users": 2, "items": 2})
    settings = {"batch_size": 50, "epochs": 2, **settings}  # 80 steps an epoch, of 10 positives
    whole = trainer(folders, **settings)
    assert len(whole._loop("selection").step.adam.lazy) == lazy
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
