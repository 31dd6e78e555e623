"""Top 10 of large catalogues: retrieve and rescore against exact scoring.

``MODEL=folder python -m tests.benchmarks catalogue`` with a model that was trained: its item embeddings are mixed in
pairs, with a little noise, until there are enough of them. Random weights would not do: what retrieval lives on is
what training leaves in them.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server and the batch stage have it

import numpy as np

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, ModelFolder, Weights
from ncf.models.ranker import NO_ITEM, Ranker
from tests.helpers.random_model import enlarged

SIZES = (0, 20_000, 200_000, 1_000_000)  # 0: the model as it is
USERS_EXACT, USERS_ONE_BY_ONE, USERS_IN_BATCH = 40, 200, 1024
SEEN = 100


def exact_top(ranker: Ranker, user: int, k: int, seen: ItemsByUser) -> set[int]:
    scores = ranker.scorer.score_all(np.array([user]))[0]
    scores[seen.of_user(user)] = -np.inf
    return set(np.argpartition(-scores, k - 1)[:k].tolist())


def measure(config: ModelConfig, weights: Weights) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    seen = ItemsByUser.of(
        np.repeat(np.arange(config.n_users, dtype=np.int32), SEEN),
        rng.integers(0, config.n_items, config.n_users * SEEN).astype(np.int32),
        config.n_users,
    )
    ranker = Ranker(config, weights)
    start = time.perf_counter()
    ranker.top_k(np.array([0]), 10, seen)
    prepare = time.perf_counter() - start
    users = rng.permutation(config.n_users)
    start = time.perf_counter()
    best = [exact_top(ranker, user, 10, seen) for user in users[:USERS_EXACT]]
    exact = (time.perf_counter() - start) / USERS_EXACT
    wider = [exact_top(ranker, user, 100, seen) for user in users[:USERS_EXACT]]
    seconds = []
    for user in np.resize(users, USERS_ONE_BY_ONE):
        start = time.perf_counter()
        ranker.top_k(np.array([user]), 10, seen)
        seconds.append(time.perf_counter() - start)
    batch = np.resize(users, USERS_IN_BATCH).reshape(-1, 64)
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda block: ranker.top_k(block, 10, seen), batch))
    throughput = USERS_IN_BATCH / (time.perf_counter() - start)
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99]).tolist()
    return {
        "items": config.n_items,
        "exact ms": exact * 1000,
        "p50 ms": p50,
        "p99 ms": p99,
        "recall@10": recall(ranker, users, best, 10, seen),
        "recall@100": recall(ranker, users, wider, 100, seen),
        "candidates": retriever.candidates if (retriever := ranker._retriever) else config.n_items,
        "prepare s": prepare,
        "users/s, 2 threads": throughput,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def recall(ranker: Ranker, users: Any, best: list[set[int]], k: int, seen: ItemsByUser) -> float:
    found = [set(row.tolist()) - {NO_ITEM} for row in ranker.top_k(users[: len(best)], k, seen)[0]]
    return sum(len(a & b) for a, b in zip(best, found, strict=True)) / sum(map(len, best))


def run() -> list[dict[str, Any]]:
    """A row for each size."""
    folder = os.environ.get("MODEL", "")
    if not Path(folder).is_dir():
        sys.exit(f"MODEL is '{folder}': expected the folder of a trained model")
    model = ModelFolder.load(Path(folder))
    rows = []
    for size in SIZES:
        config, weights = enlarged(model.config, model.weights, size) if size else (model.config, model.weights)
        rows.append({"model": config.model, "tower": "-".join(map(str, config.tower)), **measure(config, weights)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows
