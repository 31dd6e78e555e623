"""From raw interactions to the evaluation: short histories without times, and times with several test items a user."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_stage import run_stage, run_undrawn, undrawn

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.data import synthetic
from ncf.evaluation.champion import Champion
from ncf.stage import execution
from ncf.stages.negative_sampling import NegativeSampling
from ncf.stages.preprocess import Preprocess

CASES = Path(__file__).parents[3] / "shared" / "cases"


def prepare(folder: Path, data: Path, *options: str) -> tuple[Path, Path]:
    """A model and samples of raw interactions, by the stages themselves."""
    from ncf.training.fit import Fit

    dataset, samples, model = folder / "dataset", folder / "samples", folder / "model"
    outputs = ("--report", str(folder / "report.html"), "--metrics", str(folder / "metrics.json"))
    with undrawn():
        execution.run(Preprocess, ["--interactions", str(data), "--dataset", str(dataset), *outputs, *options])
    execution.run(NegativeSampling, ["--dataset", str(dataset), "--samples", str(samples)])
    made = ("--trained-model", str(model), "--metrics", str(folder / "fit.json"))
    flags = ["--dataset", str(dataset), "--samples", str(samples), *made]
    execution.run(Fit, [*flags, "--model", "gmf", "--factors", "8", "--epochs", "2"])
    return model, samples


def test_short_histories_of_many_items_without_times(tmp_path: Path) -> None:
    """As Pinterest's: more items than most users could ever see, ten pins each, and no times."""
    rng = np.random.default_rng(0)
    taste = rng.integers(0, 20, 600)
    with (tmp_path / "pins.csv").open("w") as stream:
        stream.write("user,item\n")
        for user in range(600):
            own = rng.choice(100, 8, replace=False) * 20 + taste[user]  # 2,000 items, of which each taste has 100
            stream.writelines(f"u{user},pin{item}\n" for item in [*own, *rng.choice(2000, 2, replace=False)])
    model, samples = prepare(tmp_path, tmp_path / "pins.csv")
    result = run_undrawn(tmp_path / "out", model, samples)
    metrics = result["metrics"]
    assert metrics["test_positives"] == metrics["full_users"] == 600
    for name in ("", "ease_", "item_knn_", "popularity_"):
        assert 0 <= metrics[f"{name}full_ndcg_at_10"] <= metrics[f"{name}full_hr_at_10"] <= 1
        assert metrics[f"{name}full_recall_at_10"] == metrics[f"{name}full_hr_at_10"]
    assert metrics["ease_hr_at_10"] > metrics["popularity_hr_at_10"] + 0.1
    assert metrics["item_knn_hr_at_10"] > metrics["popularity_hr_at_10"] + 0.1
    assert metrics["popularity_recommended_popularity"] > metrics["taken_popularity"]


def power_users(path: Path) -> Path:
    """Interactions of 60 users with some ten of 150 items, and of two: one with all items, one with all but three."""
    rng = np.random.default_rng(3)
    rows = [(f"u{user}", item) for user in range(60) for item in rng.choice(150, 10, replace=False)]
    rows += [("all", item) for item in range(150)] + [("nearly", item) for item in range(147)]
    times = rng.permutation(len(rows))
    lines = [f"{user},{item},{1577836800 + time}" for (user, item), time in zip(rows, times, strict=True)]
    path.write_text("\n".join(["user,item,timestamp", *lines]) + "\n")
    return path


@pytest.mark.parametrize("source", ["two of 62 users", "power_user.csv"])
def test_users_of_nearly_all_items_are_trained_but_not_evaluated(tmp_path: Path, source: str) -> None:
    left_out, data = 2, tmp_path / "power.csv"
    if source.endswith(".csv"):
        left_out, data = 1, CASES / source
        if not data.is_file():
            pytest.skip(f"the case is not at {data}")
    else:
        power_users(data)
    model, samples = prepare(tmp_path, data)
    loaded = ModelFolder.load(model)
    assert loaded.train.counts().max() >= 148, "the power user is trained"
    result = run_undrawn(tmp_path / "out", model, samples, "--champion", str(model))
    metrics = result["metrics"]
    assert metrics["users_left_out"] == left_out
    assert metrics["full_users"] == metrics["test_positives"] == 60
    for text in (result["report"], result["summary"]):
        assert f"{left_out} user{'s are' if left_out > 1 else ' is'} left out of the evaluation" in text


def test_a_user_with_all_items_in_training_is_trained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A split at a time leaves a user without later interactions whole in training."""
    power_users(tmp_path / "power.csv")
    lines = (tmp_path / "power.csv").read_text().splitlines()
    early = [f"{line.rpartition(',')[0]},1500000000" if line.startswith("all,") else line for line in lines]
    (tmp_path / "early.csv").write_text("\n".join(early) + "\n")
    with caplog.at_level(logging.WARNING):
        model, samples = prepare(tmp_path, tmp_path / "early.csv", "--split", "temporal", "--test-after", "1577837100")
    assert ModelFolder.load(model).train.counts().max() == 150
    assert "1 users have all 150 items: their negatives are drawn from all items" in caplog.text
    metrics = run_undrawn(tmp_path / "out", model, samples)["metrics"]
    assert metrics["users_left_out"] == 1  # the one with nearly all


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A model of all data up to a date, samples with several test items a user, and a model of a time before."""
    folder = tmp_path_factory.mktemp("timed")
    synthetic.write(folder / "raw", users=400, items=150, interactions=12_000)
    data = folder / "raw" / "interactions.csv"
    lines = data.read_text().splitlines()
    times = np.array([int(line.split(",")[3]) for line in lines[1:]])
    early, late = (int(np.quantile(times, part)) for part in (0.7, 0.85))
    before = folder / "before.csv"
    before.write_text("\n".join([lines[0], *(line for line, time in zip(lines[1:], times) if time < early)]) + "\n")
    split = ("--split", "temporal", "--test-after", str(late))
    model, samples = prepare(folder / "now", data, *split)
    champion, _ = prepare(folder / "then", before)
    return model, samples, champion


def test_several_test_items_a_user(timed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, samples, _ = timed
    _, counts = np.unique(Samples.load(samples).test[:, 0], return_counts=True)
    assert counts.max() > 3
    metrics = run_stage(tmp_path / "out", model, samples, "--max-eval-users", "50")["metrics"]
    assert metrics["test_positives"] == counts.sum()
    assert metrics["full_users"] == 50
    assert metrics["full_recall_at_10"] < metrics["full_hr_at_10"]
    details: dict[str, Any] = metrics["details"]
    assert sum(group["test_positives"] for group in details["groups_by_activity"]) == counts.sum()
    assert sum(group["test_positives"] for group in details["groups_by_popularity"]) == counts.sum()
    assert [group["group"].split(":")[0] for group in details["groups_by_popularity"]] == ["tail", "mid", "head"]
    for ranker in ("model", "ease", "item_knn", "popularity"):
        for found in details["intervals"][ranker].values():
            assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 1
    for metric, found in details["gains"]["ease"].items():
        own, other = (details["intervals"][ranker][metric]["mean"] for ranker in ("model", "ease"))
        assert found["mean"] == pytest.approx(own - other)
        assert found["low"] <= found["mean"] <= found["high"]


def test_yesterday_s_model_as_champion(timed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, samples, champion = timed
    metrics = run_undrawn(tmp_path / "out", model, samples, "--champion", str(champion))["metrics"]
    counted = [metrics[f"champion_{name}"] for name in ("comparable", "unknown", "leaked")]
    assert sum(counted) == metrics["test_positives"]
    assert counted[0] >= 100
    assert metrics["champion_leaked"] == 0  # it ends before the test begins
    assert metrics["champion_unknown"] > 0  # users who came later


def test_a_champion_that_was_fitted_on_the_test_items(timed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, samples, _ = timed
    test = Samples.load(samples).test
    raw = model.parents[1] / "raw" / "interactions.csv"
    fitted, _ = prepare(
        tmp_path / "fitted", raw
    )  # leave-one-out of all data, of which most test items are training data
    asked = Champion(ModelFolder.load(fitted), ModelFolder.load(model), "fitted")
    assert asked.comparable(test).leaked > len(test) / 2
    result = run_undrawn(tmp_path / "out", model, samples, "--champion", str(fitted))
    assert "fitted on" in result["report"]
