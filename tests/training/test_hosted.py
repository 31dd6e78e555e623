"""What is hosted after a temporal split: it knows those who joined after the time of training, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ncf.api.requests import ForItem
from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.artifacts.samples import Samples
from ncf.serving.golden import check
from ncf.serving.recommender import Recommender
from ncf.stage.execution import run
from ncf.stages.negative_sampling import NegativeSampling
from ncf.stages.preprocess import Preprocess
from ncf.training.fit import Fit

DAY, GROUPS, OF_GROUP = 86_400, 3, 12
EARLY, LATE = range(60), range(60, 75)
"""Users who are there from the first day, and those who join on day 40; each likes a third of the items."""
NEW_ITEMS = ("n0", "n1", "n2")
"""Of each third, which come after training."""


def interactions(folder: Path, users: Sequence[int]) -> Path:
    rng = np.random.default_rng(3)
    lines = ["user,item,timestamp"]
    for user in users:
        items = rng.permutation(OF_GROUP)[:7] * GROUPS + user % GROUPS
        first, days = (40, 3) if user in LATE else (0, 6)
        lines += [f"u{user},i{item},{(first + days * step) * DAY}" for step, item in enumerate(items.tolist())]
        if user in LATE:
            lines.append(f"u{user},{NEW_ITEMS[user % GROUPS]},{50 * DAY}")
    path = folder / "interactions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def fitted(folder: Path, name: ModelName, *settings: str, users: Sequence[int] = (*EARLY, *LATE)) -> ModelFolder:
    made = {output: str(folder / output) for output in ("dataset", "report", "metrics", "samples", "model")}
    split = ("--split", "temporal", "--validation-after", str(20 * DAY), "--test-after", str(35 * DAY))
    outputs = [part for output in ("dataset", "report", "metrics") for part in (f"--{output}", made[output])]
    run(Preprocess, ["--interactions", str(interactions(folder, users)), *split, *outputs])
    inputs = ["--dataset", made["dataset"], "--samples", made["samples"]]
    run(NegativeSampling, [*inputs, "--candidates", "20"])
    outputs = ["--trained-model", made["model"], "--metrics", made["metrics"]]
    run(Fit, [*inputs, *outputs, "--model", name, "--device", "cpu", "--batch-size", "300", *settings])
    return ModelFolder.load(folder / "model")


@pytest.mark.parametrize("name", ["history", "gmf"])
def test_after_a_temporal_split_nobody_who_joined_later_is_unknown(tmp_path: Path, name: ModelName) -> None:
    model = fitted(tmp_path, name, "--epochs", "25", "--patience", "0", "--learning-rate", "0.1")
    evaluated_users, evaluated_items = model.evaluated_ids
    assert sorted(evaluated_users) == sorted(f"u{user}" for user in EARLY)
    assert not set(evaluated_items) & set(NEW_ITEMS)
    assert model.config.n_users == len(EARLY) == model.train.n_users
    assert model.hosted_weights is not None
    assert check(Recommender(model), model.golden) < 1e-4

    joined_later = [f"u{user}" for user in LATE]
    recommender = Recommender(model)
    answers = recommender.recommend(joined_later, 5)
    assert {answer["source"] for answer in answers} == {"model"}
    of_own_taste = [share(user, [item["item"] for item in answer["items"]]) for user, answer in zip(LATE, answers)]
    assert np.mean(of_own_taste) > 0.8
    (similar,) = [recommender.answer(ForItem(item=NEW_ITEMS[0], k=3))]
    assert len(similar["similar"]) == 3  # type: ignore[typeddict-item]
    for user in joined_later:
        dates = list(recommender.dates(user).values())
        assert len(dates) == 8, "what came later counts as seen, the new item too"
        assert min(dates) == "1970-02-10"


def test_without_a_refit_those_who_joined_later_are_unknown(tmp_path: Path) -> None:
    model = fitted(tmp_path, "history", "--refit", "false", "--epochs", "1")
    assert sorted(model.user_ids) == sorted(f"u{user}" for user in EARLY)
    assert not set(model.item_ids) & set(NEW_ITEMS)
    (answer,) = Recommender(model).recommend(["u60"], 5)
    assert answer["source"] == "popular"


def test_they_change_nothing_in_what_is_evaluated(tmp_path: Path) -> None:
    """Weights, catalogue and candidates are those of data that end before the newcomers."""
    with_them, without = tmp_path / "with", tmp_path / "without"
    models = []
    for folder, users in ((with_them, (*EARLY, *LATE)), (without, EARLY)):
        folder.mkdir()
        models.append(fitted(folder, "history", "--epochs", "2", users=users))
    one, other = models
    assert one.config == other.config
    assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert one.evaluated_ids == other.evaluated_ids
    candidates = [Samples.load(folder / "samples").test_candidates for folder in (with_them, without)]
    assert np.array_equal(*candidates)


def share(user: int, items: list[str]) -> float:
    """Share of the items that are of the user's third."""
    return float(np.mean([int(item[1:]) % GROUPS == user % GROUPS for item in items]))


@pytest.mark.parametrize("name", ["history", "neumf"])
def test_a_warm_start_takes_what_was_evaluated(tmp_path: Path, name: ModelName) -> None:
    earlier = fitted(tmp_path, name, "--epochs", "1", "--factors", "4")
    later = tmp_path / "later"
    later.mkdir()
    warm = ("--warm-start", str(tmp_path / "model"), "--learning-rate", "1e-12", "--l2", "0", "--factors", "4")
    model = fitted(later, name, *warm, "--epochs", "1")
    assert model.hosted_weights is not None
    table = earlier.weights["item_gmf.weight"]
    for weights in (model.weights, model.hosted_weights):
        np.testing.assert_allclose(weights["item_gmf.weight"][: len(table)], table, atol=1e-6)
    assert len(model.hosted_weights["item_gmf.weight"]) == len(table) + len(NEW_ITEMS)
