"""Seconds to rank the test items of MovieLens 1M's size by NeuMF, against the plain forward pass in numpy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ncf.artifacts.model_folder import ModelFolder
from ncf.models.scorer import Scorer
from tests.helpers.random_model import random_model

USERS, ITEMS, CANDIDATES = 6_040, 3_706, 100
CATALOGUE_USERS = 200


def run() -> list[dict[str, Any]]:
    """A row for each task; ``ratio`` is how much longer the plain form takes, in this run."""
    model = random_model("neumf", USERS, ITEMS, factors=32, tower=(256, 128, 64, 32), positives=20)
    scorer = Scorer(model.config, model.weights)
    rng = np.random.default_rng(0)
    users = np.arange(USERS)
    items = rng.integers(0, ITEMS, (USERS, CANDIDATES))
    some = users[:CATALOGUE_USERS]
    everything = np.broadcast_to(np.arange(ITEMS), (CATALOGUE_USERS, ITEMS))
    rows = []
    for task, ours, plain in (
        ("test items x 100", lambda: scorer.score_pairs(users, items), lambda: _plain(model, users, items)),
        ("200 users x catalogue", lambda: scorer.score_all(some), lambda: _plain(model, some, everything)),
    ):
        seconds, reference = _seconds(ours), _seconds(plain)
        rows.append({"task": task, "seconds": seconds, "plain_seconds": reference, "ratio": reference / seconds})
    return rows


def _seconds(work: Any) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _plain(model: ModelFolder, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """NeuMF as the paper writes it: embeddings concatenated, then layer by layer, a block of users at a time."""
    weights, scores = model.weights, np.empty(items.shape, np.float32)
    for start in range(0, len(users), 20):
        rows = slice(start, start + 20)
        shape = items[rows].shape
        user = np.repeat(users[rows], shape[1])
        item = items[rows].ravel()
        gmf = weights["user_gmf.weight"][user] * weights["item_gmf.weight"][item]
        hidden = np.concatenate([weights["user_mlp.weight"][user], weights["item_mlp.weight"][item]], axis=1)
        for layer in range(model.config.n_layers):
            hidden = np.maximum(hidden @ weights[f"tower.{layer}.weight"].T + weights[f"tower.{layer}.bias"], 0)
        joined = np.concatenate([gmf, hidden], axis=1)
        scores[rows] = (joined @ weights["output.weight"][0] + weights["output.bias"]).reshape(shape)
    return scores
