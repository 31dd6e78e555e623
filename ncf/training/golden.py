"""Golden answers: those of the trained network to a few requests. The serving code must give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.golden import ExpectedItem, Golden, GoldenRequest, K, TopKRequest
from ncf.artifacts.ids import MAX_ID_LENGTH
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.errors import InputError
from ncf.models.history_network import HistoryNetwork
from ncf.models.networks import USER_TABLES, Network

_USERS = 5
_ITEMS_AT_ONCE = 1 << 14  # bounds the activations of the tower, whatever the size of the catalogue


def golden_answers(
    config: ModelConfig, weights: Weights, user_ids: Sequence[str], item_ids: Sequence[str], histories: ItemsByUser
) -> Golden:
    """The highest ranked items of a few users, spread evenly over all.

    Args:
        config: the architecture.
        weights: of the trained network, of the shapes of :meth:`ModelConfig.weight_shapes`.
        user_ids, item_ids: raw id of each index.
        histories: items of each user, oldest first, for a ``history`` model.

    Raises:
        InputError: if the network's scores are not finite, or the endpoint accepts no user's id.
    """
    valid = [index for index, user in enumerate(user_ids) if len(user) <= MAX_ID_LENGTH]
    if not valid:
        raise InputError(f"every user id has more than {MAX_ID_LENGTH} characters, so the endpoint could serve no user")
    count = min(_USERS, len(valid))
    users = [valid[len(valid) * part // count] for part in range(count)]
    score = (
        _history_scores(config, weights, histories, users) if config.has_history else _scores(config, weights, users)
    )
    requests, k = [], min(K, config.n_items)
    for row, user in enumerate(users):
        scores = score(row)
        if not scores.isfinite().all():
            raise InputError(f"the trained network's scores of user {user_ids[user]!r} are not finite numbers")
        best = scores.topk(k)
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        requests.append(
            GoldenRequest(
                request=TopKRequest(users=(user_ids[user],), k=k, exclude_seen=False),
                items=[ExpectedItem(item=item_ids[item], score=score) for item, score in found],
            )
        )
    return Golden(requests=requests)


def _scores(config: ModelConfig, weights: Weights, users: list[int]) -> Callable[[int], Tensor]:
    """A function from the number of one of ``users`` to its logits with the whole catalogue, float32 [n_items].

    The network has only the rows of ``users`` in its user tables; item tables are not copied.
    """
    with torch.device("meta"):
        network = Network(config, len(users))
    own = {name: weight[users] if name in USER_TABLES else weight for name, weight in weights.items()}
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in own.items()}, assign=True)
    network.eval()

    @torch.inference_mode()
    def scores(row: int) -> Tensor:
        found = torch.empty(config.n_items)
        for start in range(0, config.n_items, _ITEMS_AT_ONCE):
            items = torch.arange(start, min(start + _ITEMS_AT_ONCE, config.n_items))
            found[items] = network(torch.tensor([row]), items[None])[0]
        return found

    return scores


def _history_scores(
    config: ModelConfig, weights: Weights, histories: ItemsByUser, users: list[int]
) -> Callable[[int], Tensor]:
    """As :func:`_scores`, of a ``history`` model."""
    with torch.device("meta"):
        network = HistoryNetwork(config)
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()}, assign=True)

    @torch.inference_mode()
    def scores(row: int) -> Tensor:
        items = torch.from_numpy(histories.of_user(users[row]).astype(np.int64))
        return network.scores(network.of_users(items, torch.tensor([0, len(items)])))[0]

    return scores
