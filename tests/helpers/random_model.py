"""Models with random weights, for tests and benchmarks that need one but no training; and large catalogues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ncf.artifacts.golden import ExpectedItem, Golden, GoldenRequest, K, TopKRequest
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, ModelFolder, ModelName, Weights
from ncf.artifacts.strings import Strings
from ncf.models.ranker import Ranker


def random_model(
    name: ModelName = "neumf",
    n_users: int = 12,
    n_items: int = 40,
    factors: int = 4,
    tower: Sequence[int] = (16, 8, 4),
    positives: int = 5,
    seed: int = 0,
    titles: bool = True,
    history: int = 3,
) -> ModelFolder:
    """A model of users u0, u1, ... and items i0, i1, ..., of which i0 has no title.

    Each user has seen ``positives`` items, one of them a test item. Those of a ``history`` model, whose users are their
    latest ``history`` items, come in an order of their own, the test item last; others are sorted.
    """
    rng = np.random.default_rng(seed)
    config = ModelConfig(
        model=name,
        factors=factors,
        tower=list(tower),
        n_users=n_users,
        n_items=n_items,
        history=history if name == "history" else 0,
    )
    shapes = config.weight_shapes().items()
    seen = np.stack([rng.permutation(n_items)[:positives] for _ in range(n_users)]).astype(np.int32)
    users = np.repeat(np.arange(n_users, dtype=np.int32), positives).reshape(seen.shape)
    train = seen[:, 1:]
    weights = {weight: rng.normal(0, 0.3, shape).astype(np.float32) for weight, shape in shapes}
    grouped = ItemsByUser.of_sorted if name == "history" else ItemsByUser.of
    in_order = np.roll(seen, -1, axis=1)  # the test item last
    all_positives = grouped(users.ravel(), in_order.ravel(), n_users)
    return ModelFolder(
        config=config,
        weights=weights,
        user_ids=Strings.of(f"u{user}" for user in range(n_users)),
        item_ids=Strings.of(f"i{item}" for item in range(n_items)),
        item_titles=Strings.of(f"Title {item}" if item else "" for item in range(n_items)) if titles else None,
        train=grouped(users[:, 1:].ravel(), train.ravel(), n_users),
        seen=all_positives,
        popularity=np.bincount(train.ravel(), minlength=n_items).astype(np.int64),
        history={"best_epoch": 1},
        golden=golden_of(config, weights, all_positives),
    )


def golden_of(config: ModelConfig, weights: Weights, histories: ItemsByUser | None = None) -> Golden:
    """What the numpy scorer answers for the first and the last user."""
    users = sorted({0, config.n_users - 1})
    k = min(K, config.n_items)
    rows = zip(*Ranker(config, weights, histories=histories).top_k(np.array(users), k), strict=True)
    return Golden(
        requests=[
            GoldenRequest(
                request=TopKRequest(users=(f"u{user}",), k=k, exclude_seen=False),
                items=[
                    ExpectedItem(item=f"i{item}", score=score) for item, score in zip(items.tolist(), scores.tolist())
                ],
            )
            for user, (items, scores) in zip(users, rows, strict=True)
        ]
    )


def enlarged(
    config: ModelConfig, weights: Weights, n_items: int, noise: float = 0.1, seed: int = 0
) -> tuple[ModelConfig, Weights]:
    """A model with ``n_items`` items that lie between those of a trained one.

    Args:
        noise: of the embeddings, in their standard deviations.
    """
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, config.n_items, (2, n_items))
    share = rng.random((n_items, 1), np.float32)
    changed = dict(weights)
    for name in weights.keys() & {"item_gmf.weight", "item_mlp.weight", "item_bias.weight"}:
        table = weights[name]
        moved = rng.standard_normal((n_items, table.shape[1]), np.float32) * np.float32(noise * table.std())
        changed[name] = share * table[first] + (1 - share) * table[second] + moved
    return config.model_copy(update={"n_items": n_items}), changed
