"""The choice of what trains: compiled code, torch, or whole steps on a GPU. No other module knows the compiled code."""

from __future__ import annotations

import torch

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.networks import Network, is_tower
from ncf.training import kernel
from ncf.training.adam import AdamState, lazy_tables
from ncf.training.batches import SampledSource, part_of
from ncf.training.device_step import DeviceStep
from ncf.training.distributed import World
from ncf.training.host_step import AutogradStep
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel.draws import CompiledSource
from ncf.training.kernel.step import KernelStep
from ncf.training.negatives import NegativeSampler, without_full_users
from ncf.training.schedule import Schedule
from ncf.training.step import EpochSource, Step


def make_step(
    network: Network,
    schedule: Schedule,
    settings: Hyperparameters,
    world: World,
    n_users: int,
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
        seed: of dropout, one for each fit and process.
        on_device: whether steps run whole on the device; None: on a GPU, in a single process.
    """
    on_gpu = world.device.type == "cuda"
    on_device = on_gpu and world.size == 1 if on_device is None else on_device
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
        lazy = lazy_tables(network, n_users, positives, positives * schedule.samples_per_positive)
    adam = AdamState(network, optimiser, schedule.learning_rate, schedule.steps, lazy)
    if isinstance(rate, torch.Tensor):
        return DeviceStep(network, optimiser, adam, rate, schedule, settings.l2, seed, capture=on_gpu)
    if kernel.Kernel.fits(network):
        compiled = kernel.Kernel(network, adam, torch.get_num_threads(), settings.l2)
        return KernelStep(compiled, schedule, world)
    return AutogradStep(network, optimiser, adam, schedule, world, settings.l2, seed)


def make_source(
    positives: ItemsByUser,
    exclusion: ItemsByUser,
    users: range,
    n_items: int,
    negatives: int,
    seed: list[int],
    device: torch.device,
) -> EpochSource:
    """The epochs of one fit in one process.

    Args:
        positives: items of all users that the fit trains on.
        exclusion: items that are no negatives: the positives of this fit. The negatives of a user with all items
            are drawn from all items.
        users: those that this process owns.
        n_items: size of the catalogue.
        negatives: of each positive.
        seed: one for each fit and process.
        device: of the samples.
    """
    own, excluded = part_of(positives, users), without_full_users(part_of(exclusion, users), n_items)
    if device.type == "cpu" and kernel.is_available():
        return CompiledSource(own, excluded, n_items, negatives, seed, torch.get_num_threads())
    return SampledSource(own, NegativeSampler(excluded, n_items, device), negatives, seed)
