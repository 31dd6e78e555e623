"""The choice of what trains: compiled code, torch, or whole steps on a GPU. No other module knows the compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.models.history_network import HistoryNetwork
from ncf.models.networks import AnyNetwork, is_tower
from ncf.training import kernel
from ncf.training.adam import AdamState, lazy_tables
from ncf.training.batches import SampledSource, part_of
from ncf.training.device_step import DeviceStep
from ncf.training.distributed import World
from ncf.training.history_batches import HistorySource
from ncf.training.host_step import AutogradStep
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel.draws import CompiledSource
from ncf.training.kernel.step import KernelStep
from ncf.training.negatives import NegativeSampler, without_full_users
from ncf.training.schedule import Schedule
from ncf.training.softmax_step import SoftmaxStep
from ncf.training.step import EpochSource, Step


def compiled_step() -> str:
    """SHA-256 of the compiled code that trains on a CPU; '' without it."""
    return kernel.digest()


def make_step(
    network: AnyNetwork,
    schedule: Schedule,
    settings: Hyperparameters,
    world: World,
    n_users: int,
    popularity: NDArray[np.int64],
    seed: list[int],
    on_device: bool | None = None,
) -> Step:
    """The training step for a network, with a new optimiser.

    Args:
        network: this process's, on its device.
        schedule: of the fit.
        settings: hyperparameters.
        world: the processes.
        n_users: of all processes.
        popularity: int64 [n_items], positives of each item in the fit, by which a ``history`` network's negatives are
            drawn.
        seed: of dropout and of these negatives, one for each fit and process.
        on_device: whether steps run whole on the device; None: on a GPU, in a single process.
    """
    on_gpu = world.device.type == "cuda"
    is_history = isinstance(network, HistoryNetwork)
    on_device = on_gpu and world.size == 1 and not is_history if on_device is None else on_device
    # Adam's `weight_decay` adds `weight_decay * weight` to the gradient: the L2 term of the tower
    groups = [
        {"params": [weight], "weight_decay": settings.tower_l2 if is_tower(name) else 0.0}
        for name, weight in network.named_parameters()
    ]
    rate = torch.tensor(schedule.peak, device=world.device) if on_device else schedule.peak
    optimiser = torch.optim.Adam(groups, lr=rate, fused=True, capturable=on_device)
    positives = schedule.positives_per_step
    lazy = frozenset[str]()
    if not on_device:
        drawn = settings.shared_negatives if is_history else positives * settings.negatives
        lazy = lazy_tables(network, n_users, positives, positives + drawn)
    adam = AdamState(network, optimiser, schedule.learning_rate, schedule.steps, lazy)
    if isinstance(network, HistoryNetwork):
        negatives, dropout = settings.shared_negatives, settings.user_dropout
        return SoftmaxStep(network, optimiser, adam, schedule, world, popularity, negatives, dropout, seed)
    if isinstance(rate, torch.Tensor):
        return DeviceStep(network, optimiser, adam, rate, schedule, settings.l2, seed, capture=on_gpu)
    if kernel.Kernel.fits(network):
        compiled = kernel.Kernel(network, adam, torch.get_num_threads(), settings.l2)
        return KernelStep(compiled, schedule, world)
    return AutogradStep(network, optimiser, adam, schedule, world, settings.l2, seed)


def make_source(
    positives: ItemsByUser,
    weights: NDArray[np.float32] | None,
    exclusion: ItemsByUser,
    users: range,
    config: ModelConfig,
    negatives: int,
    seed: list[int],
    device: torch.device,
) -> EpochSource[Any]:
    """The epochs of one fit in one process.

    Args:
        positives: items of all users that the fit trains on.
        weights: float32 [positives], of each of ``positives`` in the loss of a ``history`` network, or None; other
            networks take each positive once.
        exclusion: items that are no negatives: the positives of this fit. The negatives of a user with all items
            are drawn from all items.
        users: those that this process owns.
        config: architecture and sizes. Negatives are drawn here unless it is that of a ``history`` network, whose steps
            draw them.
        negatives: of each positive.
        seed: one for each fit and process.
        device: of the samples.
    """
    own, n_items = part_of(positives, users), config.n_items
    if config.has_history:
        if weights is not None:
            weights = weights[positives.offsets[users.start] : positives.offsets[users.stop]] / weights.mean()
        return HistorySource(own, weights, config.history, seed, device)
    excluded = without_full_users(part_of(exclusion, users), n_items)
    if device.type == "cpu" and kernel.is_available():
        return CompiledSource(own, excluded, n_items, negatives, seed, torch.get_num_threads())
    return SampledSource(own, NegativeSampler(excluded, n_items, device), negatives, seed)
