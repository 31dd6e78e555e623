from __future__ import annotations

import numpy as np
import pytest
import torch

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import Network, initialise
from ncf.training.distributed import World
from ncf.training.validation import Validation, ranks

from .conftest import Folders


def test_ties_and_scores_that_are_no_numbers_lose_and_the_positive_itself_does_not_count() -> None:
    nan = float("nan")
    scores = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0], [nan, 0.0, 0.0], [1.0, nan, 0.0], [1.0, 1.0, 9.0]])
    items = torch.tensor([[7, 8, 9], [7, 8, 9], [7, 8, 9], [7, 8, 9], [7, 7, 7]])
    assert ranks(scores, items).tolist() == [1, 1, 2, 1, 0]


def test_metrics_are_those_of_a_plain_loop_and_add_up_over_the_owners(folders: Folders) -> None:
    dataset, samples = folders.load()
    config = ModelConfig(model="gmf", factors=4, tower=[4, 2], n_users=dataset.n_users, n_items=dataset.n_items)
    network = Network(config, dataset.n_users)
    initialise(network, 1, 0.5, range(dataset.n_users), dataset.n_users)
    hits, gains = [], []
    for (user, item), candidates in zip(samples.validation, samples.validation_candidates, strict=True):
        with torch.inference_mode():
            score, *others = network(torch.tensor([user]), torch.tensor([[item, *candidates]]))[0].tolist()
        rank = sum(other >= score for other in others)
        hits.append(rank < 10)
        gains.append((rank < 10) / np.log2(rank + 2))
    world = World(0, 1, torch.device("cpu"))
    metrics = Validation(samples, range(dataset.n_users), world).metrics(network)
    assert metrics == pytest.approx({"hr_at_10": np.mean(hits), "ndcg_at_10": np.mean(gains)})

    part = Network(config, 30)
    initialise(part, 1, 0.5, range(10, 40), dataset.n_users)
    own = Validation(samples, range(10, 40), world).metrics(part)
    assert own["hr_at_10"] == pytest.approx(np.sum(hits[10:40]) / len(hits))
