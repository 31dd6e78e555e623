"""What is hosted after a temporal split: it knows those who joined after the time of training, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.models.ranker import Ranker
from ncf.serving.recommender import Recommender
from ncf.stage.execution import run
from ncf.stages.negative_sampling import NegativeSampling
from ncf.stages.preprocess import Preprocess
from ncf.training.fit import Fit

DAY, GROUPS, OF_GROUP = 86_400, 3, 12
EARLY, LATE = range(60), range(60, 75)
"""Users who are there from the first day, and those who join on day 40; each likes a third of the items."""


def interactions(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    lines = ["user,item,timestamp"]
    for user in (*EARLY, *LATE):
        items = rng.permutation(OF_GROUP)[:7] * GROUPS + user % GROUPS
        first, days = (40, 3) if user in LATE else (0, 6)
        lines += [f"u{user},i{item},{(first + days * step) * DAY}" for step, item in enumerate(items.tolist())]
    path = folder / "interactions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["history", "gmf"])
def test_after_a_temporal_split_nobody_who_joined_later_is_unknown(tmp_path: Path, name: ModelName) -> None:
    made = {output: str(tmp_path / output) for output in ("dataset", "report", "metrics", "samples", "model")}
    split = ("--split", "temporal", "--validation-after", str(20 * DAY), "--test-after", str(35 * DAY))
    outputs = [part for output in ("dataset", "report", "metrics") for part in (f"--{output}", made[output])]
    run(Preprocess, ["--interactions", str(interactions(tmp_path)), *split, *outputs])
    run(NegativeSampling, ["--dataset", made["dataset"], "--samples", made["samples"], "--candidates", "20"])
    inputs = ["--dataset", made["dataset"], "--samples", made["samples"], "--trained-model", made["model"]]
    settings = ("--model", name, "--epochs", "25", "--patience", "0", "--batch-size", "300", "--learning-rate", "0.1")
    run(Fit, [*inputs, *settings, "--metrics", made["metrics"], "--device", "cpu"])
    model = ModelFolder.load(tmp_path / "model")
    users = list(model.user_ids)
    joined_later = [users.index(f"u{user}") for user in LATE]
    assert not any(len(model.train.of_user(user)) for user in joined_later), "the evaluated model was not fitted on them"

    evaluated = Ranker(model.config, model.weights, histories=model.train)
    lists = evaluated.top_k(np.array(joined_later), 5, model.seen)[0]
    answers = Recommender(model).recommend([f"u{user}" for user in LATE], 5)
    assert {answer["source"] for answer in answers} == {"model"}
    by_evaluated = [share(user, [model.item_ids[item] for item in row]) for user, row in zip(LATE, lists.tolist())]
    by_hosted = [share(user, [item["item"] for item in answer["items"]]) for user, answer in zip(LATE, answers)]
    assert np.mean(by_evaluated) < 0.6, "it knows nothing of their tastes"
    assert np.mean(by_hosted) > 0.8


def share(user: int, items: list[str]) -> float:
    """Share of the items that are of the user's third."""
    return float(np.mean([int(item[1:]) % GROUPS == user % GROUPS for item in items]))
