"""Top 10 of large catalogues: retrieve and rescore against exact scoring.

``MODEL=folder python -m tests.benchmarks catalogue`` with a model that was trained: its item embeddings are mixed in
pairs, with a little noise, until there are enough of them. Random weights would not do: what retrieval lives on is
what training leaves in them. Of a model of kind ``history`` the requests of each kind are measured, as the server
answers them but without HTTP: of a known user, of a known user with new items, and of an unknown user with items. "core
ms" are those of the thread, without the time in which other processes had its core.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server and the batch stage have it

import numpy as np

from ncf.api.requests import ForHistory
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, ModelFolder, Weights
from ncf.artifacts.strings import Strings
from ncf.models.ranker import NO_ITEM, Ranker
from ncf.serving.recommender import Recommender
from tests.helpers.random_model import enlarged

SIZES = (0, 20_000, 200_000, 1_000_000)  # 0: the model as it is
USERS_EXACT, USERS_ONE_BY_ONE, USERS_IN_BATCH = 40, 200, 1024
SEEN = 100
HISTORY_SIZES = (10_000, 1_000_000)
REQUESTS, IN_REQUEST = 500, 20


def exact_top(ranker: Ranker, user: int, k: int, seen: ItemsByUser) -> set[int]:
    scores = ranker.scorer.score_all(np.array([user]))[0]
    scores[seen.of_user(user)] = -np.inf
    return set(np.argpartition(-scores, k - 1)[:k].tolist())


def measure(config: ModelConfig, weights: Weights) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    seen = _seen(config)
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
    throughput = _in_batch(ranker, users, seen)
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


def measure_requests(model: ModelFolder, config: ModelConfig, weights: Weights) -> list[dict[str, Any]]:
    """A row for each kind of request to a ``history`` model."""
    rng, seen = np.random.default_rng(1), _seen(config)
    recommender = Recommender(
        replace(
            model,
            config=config,
            weights=weights,
            hosted_weights=None,
            seen=seen,
            seen_days=None,
            item_ids=Strings.of(f"i{item}" for item in range(config.n_items)),
            item_titles=None,
        )
    )
    known = list(model.user_ids)

    def items() -> list[str]:
        return [f"i{item}" for item in rng.integers(0, config.n_items, IN_REQUEST)]

    def new_items(user: str | None) -> Callable[[], object]:
        form = ForHistory(history=items(), user=user, k=10)
        return lambda: recommender.answer(form)

    def of(user: str) -> Callable[[], object]:
        return lambda: recommender.recommend([user], 10)

    asked = rng.choice(known, REQUESTS).tolist()
    kinds = {
        "a known user": [of(user) for user in asked],
        f"a known user, {IN_REQUEST} new items": [new_items(user) for user in asked],
        f"an unknown user, {IN_REQUEST} items": [new_items(None) for _ in asked],
    }
    ranker = recommender._ranker
    ranker.top_k(np.array([0]), 10, seen)
    users = rng.permutation(config.n_users)
    best = [exact_top(ranker, user, 10, seen) for user in users[:USERS_EXACT]]
    found, throughput = recall(ranker, users, best, 10, seen), _in_batch(ranker, users, seen)
    rows: list[dict[str, Any]] = []
    for name, requests in kinds.items():
        row: dict[str, Any] = {"items": config.n_items, "request": name}
        seconds = []
        for request in requests:
            start = time.perf_counter(), time.thread_time()
            request()
            seconds.append((time.perf_counter() - start[0], time.thread_time() - start[1]))
        for clock, taken in zip(("ms", "core ms"), np.array(seconds).T, strict=True):
            p50, p99 = np.percentile(taken * 1000, [50, 99]).tolist()
            row |= {f"{clock}, p50": p50, f"{clock}, p99": p99}
        rows.append({**row, "recall@10": found, "users/s, 2 threads": throughput})
    return rows


def _seen(config: ModelConfig) -> ItemsByUser:
    """Random items of each user."""
    users = np.repeat(np.arange(config.n_users, dtype=np.int32), SEEN)
    items = np.random.default_rng(1).integers(0, config.n_items, len(users)).astype(np.int32)
    return ItemsByUser.of(users, items, config.n_users)


def _in_batch(ranker: Ranker, users: Any, seen: ItemsByUser) -> float:
    """Users a second whose top 10 two threads find, 64 users at a time."""
    batch = np.resize(users, USERS_IN_BATCH).reshape(-1, 64)
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda block: ranker.top_k(block, 10, seen), batch))
    return USERS_IN_BATCH / (time.perf_counter() - start)


def recall(ranker: Ranker, users: Any, best: list[set[int]], k: int, seen: ItemsByUser) -> float:
    found = [set(row.tolist()) - {NO_ITEM} for row in ranker.top_k(users[: len(best)], k, seen)[0]]
    return sum(len(a & b) for a, b in zip(best, found, strict=True)) / sum(map(len, best))


def run() -> list[dict[str, Any]]:
    """A row for each size, and for a ``history`` model each kind of request."""
    folder = os.environ.get("MODEL", "")
    if not Path(folder).is_dir():
        sys.exit(f"MODEL is '{folder}': expected the folder of a trained model")
    model = ModelFolder.load(Path(folder))
    rows: list[dict[str, Any]] = []
    for size in HISTORY_SIZES if model.config.has_history else ():
        rows += measure_requests(model, *enlarged(model.config, model.weights, size))
    for size in () if rows else SIZES:
        config, weights = enlarged(model.config, model.weights, size) if size else (model.config, model.weights)
        rows.append({"model": config.model, "tower": "-".join(map(str, config.tower)), **measure(config, weights)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows
