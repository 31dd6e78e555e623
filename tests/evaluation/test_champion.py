"""A model and its champion, whose users and items are others: what is compared, and what the gate makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.artifacts.strings import Strings
from ncf.evaluation import champion as champions
from ncf.evaluation.champion import Champion
from ncf.evaluation.evaluation import Evaluation, evaluate
from ncf.evaluation.gate import gate
from ncf.evaluation.summary import Summary, summarise
from ncf.models.scorer import Scorer

N_USERS, N_ITEMS = 150, 200


def model_of(strength: float, noise: int = 0) -> ModelFolder:
    """A model whose test items score by ``strength`` above all others, each user's alike but for noise."""
    model = random_model("gmf", n_users=N_USERS, n_items=N_ITEMS, factors=N_USERS)
    rng = np.random.default_rng(noise)
    weights = {name: np.zeros_like(weight) for name, weight in model.weights.items()}
    weights["user_gmf.weight"] = np.eye(N_USERS, dtype=np.float32)
    weights["item_gmf.weight"] = rng.normal(0, 1, (N_ITEMS, N_USERS)).astype(np.float32)
    test = positives_of(model)
    weights["item_gmf.weight"][test[:, 1], test[:, 0]] += strength
    weights["output.weight"] = np.ones((1, N_USERS), np.float32)
    return replace(model, weights=weights)


def positives_of(model: ModelFolder) -> np.ndarray:
    rows = [
        (user, item)
        for user in range(N_USERS)
        for item in np.setdiff1d(model.seen.of_user(user), model.train.of_user(user))
    ]
    return np.array(rows, np.int32)


def samples_of(model: ModelFolder) -> Samples:
    rng, test = np.random.default_rng(0), positives_of(model)
    candidates = np.stack(
        [rng.choice(np.setdiff1d(np.arange(N_ITEMS), model.seen.of_user(user)), 50, False) for user in test[:, 0]]
    ).astype(np.int32)
    return Samples(N_USERS, N_ITEMS, test[:0], candidates[:0], test, candidates, model.train)


def reordered(model: ModelFolder, users: np.ndarray, items: np.ndarray) -> ModelFolder:
    """The same model with some of its users and items alone, in another order."""
    index_of = np.full(N_ITEMS, -1, np.int32)
    index_of[items] = np.arange(len(items), dtype=np.int32)
    pairs = [(row, index_of[item]) for row, user in enumerate(users) for item in model.train.of_user(user)]
    known = np.array([pair for pair in pairs if pair[1] >= 0], np.int32)
    weights = dict(model.weights)
    weights["user_gmf.weight"] = model.weights["user_gmf.weight"][users]
    weights["item_gmf.weight"] = model.weights["item_gmf.weight"][items]
    train = ItemsByUser.of(known[:, 0], known[:, 1], len(users))
    return replace(
        model,
        config=model.config.model_copy(update={"n_users": len(users), "n_items": len(items)}),
        weights=weights,
        user_ids=Strings.of(model.user_ids[user] for user in users.tolist()),
        item_ids=Strings.of(model.item_ids[item] for item in items.tolist()),
        train=train,
        seen=train,
        popularity=np.bincount(train.items, minlength=len(items)),
    )


def compared(model: ModelFolder, other: ModelFolder) -> tuple[Evaluation, Summary]:
    evaluation = evaluate(model, samples_of(model), 1000, 0, Champion(other, model, "other"))
    return evaluation, summarise(model, evaluation, 500, 0)


def test_a_reordered_champion_scores_what_it_scores_itself() -> None:
    model = model_of(1.0)
    rng = np.random.default_rng(1)
    users, items = rng.permutation(N_USERS)[:120], rng.permutation(N_ITEMS)[:160]
    asked = Champion(reordered(model, users, items), model, "other")
    expected = Scorer(model.config, model.weights).score_all(np.sort(users))
    unknown = np.setdiff1d(np.arange(N_ITEMS), items)
    expected[:, unknown] = -np.inf
    assert asked.score_all(np.sort(users)) == pytest.approx(expected, abs=1e-6)
    pairs = rng.integers(0, N_ITEMS, (120, 9))
    assert asked.score_pairs(np.sort(users), pairs) == pytest.approx(np.take_along_axis(expected, pairs, 1), abs=1e-6)


def test_compared_are_positives_whose_user_and_item_both_know() -> None:
    model = model_of(1.0)
    rng = np.random.default_rng(2)
    users, items = rng.permutation(N_USERS)[:140], rng.permutation(N_ITEMS)[:190]
    evaluation, summary = compared(model, reordered(model, users, items))
    test = positives_of(model)
    known = np.isin(test[:, 0], users) & np.isin(test[:, 1], items)
    assert evaluation.comparison is not None
    assert evaluation.comparison.comparable.rows.tolist() == known.tolist()
    assert evaluation.comparison.comparable.unknown == (~known).sum() > 0
    assert summary.values["champion_unknown"] == (~known).sum()
    # the same scores, but fewer rivals that it knows: never behind
    assert (evaluation.comparison.ranks["champion"] <= evaluation.comparison.ranks["model"]).all()
    assert np.isin(evaluation.comparison.users, test[known, 0]).all()


@pytest.mark.parametrize("history", [0, 3])
def test_the_users_of_a_champion_are_made_of_its_own_positives(history: int) -> None:
    """Not of the model's, which is evaluated on what the champion may not have known."""
    champion = random_model("history", n_users=N_USERS, n_items=N_ITEMS, history=history)
    asked = Champion(champion, random_model("history", n_users=N_USERS, n_items=N_ITEMS, seed=1), "other")
    expected = Scorer(champion.config, champion.weights, champion.train).score_all(np.arange(N_USERS))
    assert asked.score_all(np.arange(N_USERS)) == pytest.approx(expected, abs=1e-6)
    hosted = replace(champion, hosted_weights=random_model("history", n_users=N_USERS, n_items=N_ITEMS, seed=2).weights)
    asked = Champion(hosted, champion, "other")
    assert asked.score_all(np.arange(N_USERS)) == pytest.approx(expected, abs=1e-6), "the evaluated weights"


@pytest.mark.parametrize("hosted", [None, 2])
def test_an_evaluation_asks_the_weights_that_know_no_test_item(hosted: int | None) -> None:
    model = random_model("history", n_users=N_USERS, n_items=N_ITEMS)
    if hosted is not None:
        other = random_model("history", n_users=N_USERS, n_items=N_ITEMS, seed=hosted)
        model = replace(model, hosted_weights=other.weights)
    samples = samples_of(model)
    evaluation = evaluate(model, samples, 1000, 0, None)
    scores = Scorer(model.config, model.weights, model.train).score_all(np.arange(N_USERS))
    expected = [
        1 + int((scores[user, candidates] >= scores[user, item]).sum())
        for (user, item), candidates in zip(samples.test, samples.test_candidates, strict=True)
    ]
    assert evaluation.ranks["model"].tolist() == expected


def test_a_model_beside_itself_differs_by_nothing() -> None:
    model = model_of(1.0)
    evaluation, summary = compared(model, reordered(model, np.arange(N_USERS)[::-1], np.arange(N_ITEMS)[::-1]))
    assert evaluation.comparison is not None
    assert summary.champion is not None
    assert all(gain == (0, 0, 0) for gain in summary.champion.gains.values())
    assert set(summary.champion.gains) >= {"hr_at_10", "ndcg_at_10", "full_hr_at_10", "full_ndcg_at_10"}
    assert all(check.passed for check in gate(summary, 0, "none", 0.0))


def test_what_the_champion_was_fitted_on_is_left_out_and_counted() -> None:
    model, other = model_of(1.0), model_of(1.0)
    test = positives_of(model)
    known = test[:30]
    other = replace(other, train=other.train.union(known[:, 0], known[:, 1]))
    evaluation, summary = compared(model, other)
    assert evaluation.comparison is not None
    assert evaluation.comparison.comparable.rows.tolist() == [False] * 30 + [True] * (len(test) - 30)
    assert summary.values["champion_leaked"] == 30
    assert summary.values["champion_unknown"] == 0
    assert not np.isin(evaluation.comparison.users, known[:, 0]).any()


@pytest.mark.parametrize("kept", [99, 100])
def test_too_few_comparable_positives_do_not_decide(kept: int) -> None:
    assert champions.MIN_COMPARABLE == 100
    model = model_of(0.0)
    better = reordered(model_of(9.0), np.arange(kept), np.arange(N_ITEMS))
    evaluation, summary = compared(model, better)
    checks = gate(summary, 0, "none", 0.0)
    if kept == 100:
        assert [check.passed for check in checks] == [False]
    else:
        assert (evaluation.comparison, summary.champion, checks) == (None, None, [])
        assert "Only 99 of 150 test positives can be compared" in evaluation.no_comparison
        assert "does not know 51" in evaluation.no_comparison


def test_a_champion_of_other_data_altogether() -> None:
    model = model_of(1.0)
    others = replace(model, user_ids=Strings.of(f"x{user}" for user in range(N_USERS)))
    evaluation, _ = compared(model, others)
    assert evaluation.comparison is None
    assert "Only 0 of 150" in evaluation.no_comparison


@pytest.mark.parametrize(
    ("own", "others", "allowed", "passed"),
    [
        (9.0, 0.0, 0.0, True),  # far better
        (0.0, 9.0, 0.0, False),  # far worse
        (0.0, 9.0, 1.0, True),  # ... which is allowed
        (2.0, 9.0, 0.1, False),
    ],
)
def test_the_gate_both_ways(own: float, others: float, allowed: float, passed: bool) -> None:
    _, summary = compared(model_of(own), model_of(others, noise=1))
    (check,) = gate(summary, 0, "none", allowed)
    assert check.passed is passed
    assert "max_loss_to_champion" in check.text


def test_noise_alone_hardly_closes_the_gate() -> None:
    """Of two models that are equally good, either is released: at most one in forty is held back by chance."""
    summaries = [compared(model_of(1.5, noise=2 * pair), model_of(1.5, noise=2 * pair + 1))[1] for pair in range(20)]
    closed = [summary for summary in summaries if not gate(summary, 0, "none", 0.0)[0].passed]
    worse = [summary for summary in summaries if summary.values["ndcg_at_10_gain_over_champion"] < 0]
    assert len(worse) > 4
    assert len(closed) <= 2


def test_figures_are_those_of_each_model_for_itself() -> None:
    model, other = model_of(2.0), model_of(1.0, noise=1)
    _, summary = compared(model, other)
    samples: Any = samples_of(model)
    alone = summarise(other, evaluate(other, samples, 1000, 0), 500, 0)
    for metric in ("hr_at_10", "ndcg_at_10", "full_hr_at_10", "full_recall_at_10", "full_mrr_at_10"):
        assert summary.values[f"champion_{metric}"] == pytest.approx(alone.values[metric])
        gain = summary.values[metric] - alone.values[metric]
        assert summary.values[f"{metric}_gain_over_champion"] == pytest.approx(gain)


@pytest.mark.parametrize(("users", "metric"), [(99, "ndcg_at_10"), (100, "full_ndcg_at_10")])
def test_the_whole_catalogue_decides_where_enough_users_can_be_compared_there(users: int, metric: str) -> None:
    """All test positives can be compared among their candidates, but fewer users were drawn for the whole catalogue."""
    model, other = model_of(2.0), model_of(1.0, noise=1)
    evaluation = evaluate(model, samples_of(model), users, 0, Champion(other, model, "other"))
    assert evaluation.comparison is not None
    assert evaluation.comparison.comparable.rows.all()
    found = summarise(model, evaluation, 100, 0)
    assert found.champion is not None
    assert found.champion.metric == metric
