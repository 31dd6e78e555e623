"""Initial weights other than random ones: two trained parts, or an earlier model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.model_folder import ModelConfig, ModelFolder
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.models.networks import ITEM_TABLES, USER_TABLES, AnyNetwork, Network, initialise
from ncf.training.architecture import check_same_architecture


def fused(gmf: Mapping[str, Tensor], mlp: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The weights of a NeuMF that gives the weighted mean of both parts' logits (He et al. 2017, section 3.4.1).

    Args:
        gmf, mlp: weights by name; both empty in all processes except the first.
        alpha: weight of the GMF, equation 13; the MLP has the rest.
    """
    both = {**gmf, **mlp}
    if not both:
        return {}
    output = torch.cat([alpha * gmf["output.weight"], (1 - alpha) * mlp["output.weight"]], 1)
    bias = alpha * gmf["output.bias"] + (1 - alpha) * mlp["output.bias"]
    return {**both, "output.weight": output, "output.bias": bias}


def warm_started(
    earlier: ModelFolder,
    config: ModelConfig,
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    popularity: NDArray[np.int64],
    seed: int,
    std: float,
) -> dict[str, Tensor]:
    """The weights of an earlier model for today's users and items.

    Users and items of the earlier model, by raw id, keep their embeddings. New ones get random embeddings; those that
    no longer exist are dropped. All other weights are the earlier model's.

    Args:
        earlier: the model to start from.
        config: the architecture to train.
        user_ids, item_ids: raw id of each index today.
        popularity: int64 [n_items], training positives of each item today.
        seed: of new embeddings.
        std: their standard deviation.

    Returns:
        Weights by name, of the shapes of :meth:`ModelConfig.weight_shapes`.

    Raises:
        InputError: if the architectures differ; the message names the differences.
    """
    check_same_architecture(config.model_dump(), earlier.config.model_dump())
    network: AnyNetwork
    if config.has_history:
        network = HistoryNetwork(config)
        initialise_history(network, seed, std, popularity)
    else:
        network = Network(config, config.n_users)
        initialise(network, seed, std, range(config.n_users), config.n_users)
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    earlier_users, earlier_items = earlier.evaluated_ids
    indices = {
        **dict.fromkeys(USER_TABLES, _common_indices(earlier_users, user_ids)),
        **dict.fromkeys(ITEM_TABLES, _common_indices(earlier_items, item_ids)),
    }
    for name, weight in weights.items():
        value = earlier.weights[name]
        if name in indices:
            now, then = indices[name]
            weight[torch.from_numpy(now)] = torch.from_numpy(np.asarray(value[then]))
        else:
            weight.copy_(torch.from_numpy(np.array(value)))
    return weights


def _common_indices(earlier: Sequence[str], today: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the common ids today, and in the earlier model."""
    index = {name: position for position, name in enumerate(earlier)}
    pairs = [(now, index[name]) for now, name in enumerate(today) if name in index]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
