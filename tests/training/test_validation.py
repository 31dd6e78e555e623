"""Ranks of validation positives, among all items and among candidates, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelConfig, ModelName
from ncf.artifacts.samples import Samples
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.models.networks import AnyNetwork, Network, initialise
from ncf.models.scorer import Scorer
from ncf.training import validation
from ncf.training.distributed import World
from ncf.training.validation import CatalogueValidation, SampledValidation, ranks

from .conftest import Folders

WORLD = World(0, 1, torch.device("cpu"))
NETWORKS = pytest.mark.parametrize(("model", "history"), [("gmf", 0), ("mlp", 0), ("history", 3), ("history", 0)])


def build(dataset: Dataset, model: ModelName, history: int, users: range) -> tuple[ModelConfig, AnyNetwork]:
    config = ModelConfig(
        model=model, factors=4, tower=[4, 2], n_users=dataset.n_users, n_items=dataset.n_items, history=history
    )
    if model == "history":
        history_network = HistoryNetwork(config)
        popularity = np.bincount(dataset.train.items, minlength=dataset.n_items)
        initialise_history(history_network, 1, 0.5, popularity)
        return config, history_network
    network = Network(config, len(users))
    initialise(network, 1, 0.5, users, dataset.n_users)
    return config, network


def all_scores(dataset: Dataset, config: ModelConfig, network: AnyNetwork) -> NDArray[np.float32]:
    """Logits of all users with all items, in numpy: float32 [users, items]."""
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    return Scorer(config, weights, dataset.train).score_all(np.arange(dataset.n_users))


def metrics_of(found: list[int]) -> dict[str, float]:
    rank = np.array(found)
    return {"hr_at_10": float(np.mean(rank < 10)), "ndcg_at_10": float(np.mean((rank < 10) / np.log2(rank + 2)))}


def test_ties_and_scores_that_are_no_numbers_lose_and_the_positive_itself_does_not_count() -> None:
    nan = float("nan")
    scores = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0], [nan, 0.0, 0.0], [1.0, nan, 0.0], [1.0, 1.0, 9.0]])
    items = torch.tensor([[7, 8, 9], [7, 8, 9], [7, 8, 9], [7, 8, 9], [7, 7, 7]])
    assert ranks(scores, items).tolist() == [1, 1, 2, 1, 0]


@NETWORKS
def test_metrics_are_those_of_a_plain_loop_and_add_up_over_the_owners(
    folders: Folders, model: ModelName, history: int
) -> None:
    dataset, samples = folders.load()
    config, network = build(dataset, model, history, range(dataset.n_users))
    scores, found = all_scores(dataset, config, network), []
    for (user, item), candidates in zip(samples.validation, samples.validation_candidates, strict=True):
        assert item not in candidates
        found.append(int((scores[user, candidates] >= scores[user, item]).sum()))
    metrics = SampledValidation(samples, dataset.train, range(dataset.n_users), WORLD).metrics(network)
    assert metrics == pytest.approx(metrics_of(found))

    _, part = build(dataset, model, history, range(10, 40))
    own = SampledValidation(samples, dataset.train, range(10, 40), WORLD).metrics(part)
    assert own["hr_at_10"] == pytest.approx(np.sum(np.array(found[10:40]) < 10) / len(found))


def plain_ranks(dataset: Dataset, scores: NDArray[np.float32], pairs: NDArray[np.int32]) -> list[int]:
    """Rank of each positive among all items that its user does not have in training."""
    found = []
    for user, item in pairs.tolist():
        known = set(dataset.train.of_user(user).tolist())
        others = [other for other in range(dataset.n_items) if other not in known and other != item]
        found.append(int((scores[user, others] >= scores[user, item]).sum()))
    return found


@NETWORKS
def test_ranks_in_the_catalogue_are_those_of_a_plain_loop_and_add_up_over_the_owners(
    folders: Folders, model: ModelName, history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "_SCORES_AT_ONCE", 1000)  # some users at a time
    monkeypatch.setattr(validation, "_PAIRS_AT_ONCE", 50)  # some items at a time
    dataset, samples = folders.load()
    samples = replace(samples, validation=np.insert(samples.validation, [3, 3], [[3, 0], [3, 4]], axis=0))
    pairs = samples.validation[samples.validation[:, 0] != 5]  # a user has three, another none
    samples = replace(samples, validation=pairs)
    config, network = build(dataset, model, history, range(dataset.n_users))
    found = plain_ranks(dataset, all_scores(dataset, config, network), pairs)
    whole = CatalogueValidation(samples, dataset.train, config, range(dataset.n_users), WORLD).metrics(network)
    assert whole == pytest.approx(metrics_of(found))
    assert 0 < whole["hr_at_10"] < 1

    parts = [
        CatalogueValidation(samples, dataset.train, config, users, WORLD).metrics(
            build(dataset, model, history, users)[1]
        )
        for users in (range(30), range(30, 80))
    ]
    for name, value in whole.items():
        assert sum(part[name] for part in parts) == pytest.approx(value)


def test_of_many_users_some_are_ranked_the_same_each_time_in_however_many_processes(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, samples = folders.load()
    config, network = build(dataset, "history", 3, range(dataset.n_users))
    monkeypatch.setattr(validation, "MOST_USERS", 30)
    metrics = CatalogueValidation(samples, dataset.train, config, range(dataset.n_users), WORLD).metrics(network)
    parts = [
        CatalogueValidation(samples, dataset.train, config, users, WORLD).metrics(network)
        for users in (range(50), range(50, 50), range(50, 80))
    ]
    assert sum(part["ndcg_at_10"] for part in parts) == pytest.approx(metrics["ndcg_at_10"])
    assert (metrics["hr_at_10"] * 30) % 1 == pytest.approx(0, abs=1e-6)
    again = CatalogueValidation(samples, dataset.train, config, range(dataset.n_users), WORLD)
    assert again.metrics(network) == metrics


def test_a_score_that_is_no_number_is_the_last(folders: Folders) -> None:
    dataset, samples = folders.load()
    config, network = build(dataset, "history", 3, range(dataset.n_users))
    assert isinstance(network, HistoryNetwork)
    torch.nn.init.constant_(network.item_bias.weight, float("nan"))
    catalogue = CatalogueValidation(samples, dataset.train, config, range(dataset.n_users), WORLD)
    assert catalogue.metrics(network) == {"hr_at_10": 0, "ndcg_at_10": 0}


def test_without_positives_the_metrics_are_0(folders: Folders) -> None:
    dataset, samples = folders.load()
    none: Samples = replace(
        samples, validation=samples.validation[:0], validation_candidates=samples.validation_candidates[:0]
    )
    config, network = build(dataset, "history", 3, range(dataset.n_users))
    for found in (
        CatalogueValidation(none, dataset.train, config, range(dataset.n_users), WORLD),
        SampledValidation(none, dataset.train, range(dataset.n_users), WORLD),
    ):
        assert found.metrics(network) == {"hr_at_10": 0, "ndcg_at_10": 0}
