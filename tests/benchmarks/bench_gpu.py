"""Training on a GPU: samples a second, and the share of the card's own copy bandwidth; needs a CUDA device."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from ncf.artifacts.strings import Strings
from ncf.models.networks import Network, initialise
from ncf.training.backends import make_source
from ncf.training.device_step import DeviceStep
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.loop import FitLoop
from ncf.training.trainer import Trainer, model_config
from ncf.training.validation import Validation

USERS, ITEMS, POSITIVES = 138_493, 26_744, 20_000_263  # MovieLens 20M
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"factors": 32, "tower": [256, 128, 64, 32]},
    "NVIDIA's": {"factors": 64, "tower": [256, 256, 128, 64], "batch_size": 1 << 20},
}
PRECISIONS: tuple[Literal["float32", "mixed"], ...] = ("float32", "mixed")
WAYS = {"eager": (False, "float32"), "graph": (True, "float32"), "graph, mixed precision": (True, "mixed")}
"""Whether steps are captured, and the precision."""
TARGET = 0.69


class _Silent:
    def update(self, n: int, /) -> None: ...


def run() -> list[dict[str, Any]]:
    """A row for each configuration and way; with DATA, the folder of MovieLens 1M's release, one for it."""
    if not torch.cuda.is_available():
        sys.exit("make bench-gpu measures a GPU, and torch finds no CUDA device here: nothing was measured")
    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    bandwidth = _copy_bandwidth(device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}: copies at {bandwidth / 1e9:,.0f} GB/s")
    dataset = _generated()
    rows = [_row(dataset, name, way, bandwidth, device) for name in CONFIGURATIONS for way in WAYS]
    if folder := os.environ.get("DATA"):
        rows += _times_to_target(Path(folder), device)
    return rows


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written a second by the median of ten copies of 2 GiB."""
    source = torch.randint(256, (1 << 31,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        target.copy_(source)
        end.record()
        torch.cuda.synchronize(device)
        times.append(start.elapsed_time(end) / 1000)
    return 2 * source.numel() / float(np.median(times))


def _generated() -> Dataset:
    """Users and items drawn by skewed weights, at the size of MovieLens 20M; no repeats, nothing held out."""
    rng = np.random.default_rng(1)
    users = (USERS * rng.random(POSITIVES * 5 // 4) ** 2).astype(np.int32)
    items = (ITEMS * rng.random(len(users)) ** 3).astype(np.int32)
    train = ItemsByUser.of(users, items, USERS)
    none = np.empty((0, 2), np.int32)
    ids = (Strings.of(str(number) for number in range(size)) for size in (USERS, ITEMS))
    return Dataset(train, none, none, *ids)


def _loop(dataset: Dataset, settings: Hyperparameters, on_device: bool, device: torch.device) -> FitLoop:
    users, seed = range(dataset.n_users), [settings.seed, 0, 0]
    mixed = settings.precision == "mixed"
    network = Network(model_config(settings, dataset), dataset.n_users, settings.dropout, mixed_precision=mixed)
    initialise(network, settings.seed, settings.init_std, users, dataset.n_users)
    source = make_source(dataset.train, dataset.train, users, dataset.n_items, settings.negatives, seed, device)
    shares, bounds = np.array([len(dataset.train.items)]), np.array([0, dataset.n_users])
    return FitLoop(network.to(device), source, shares, bounds, settings, World(0, 1, device), seed, on_device)


def _row(dataset: Dataset, name: str, way: str, bandwidth: float, device: torch.device) -> dict[str, Any]:
    captured, precision = WAYS[way]
    settings = Hyperparameters(**CONFIGURATIONS[name], precision=precision, epochs=3)
    loop = _loop(dataset, settings, captured, device)
    loop.run_epoch(lambda: False, _Silent())  # warms up, and captures
    values = [loop.run_epoch(lambda: False, _Silent()) for _ in range(2)]
    if captured:
        assert isinstance(loop.step, DeviceStep)
        if not loop.step.is_captured:
            sys.exit(f"{name}: steps were not captured in a CUDA graph; the warning above says why")
    rate = max(value["samples_per_second"] for value in values if value is not None)
    steps, samples = loop.schedule.steps_per_epoch, loop.schedule.samples_per_epoch
    moved = bytes_of_a_step(loop.network, samples // steps, settings.negatives)
    achieved = moved * rate * steps / samples
    return {
        "configuration": name,
        "way": way,
        "M samples/s": rate / 1e6,
        "GB/s": achieved / 1e9,
        "share of copy bandwidth": achieved / bandwidth,
    }


def bytes_of_a_step(network: Network, samples: int, negatives: int) -> int:
    """The fewest bytes that a step moves: Adam over all weights, and activations between layers once each way.

    Adam reads weight, gradient and two moments, and writes all but the gradient; the gradient is zeroed and
    written before. An embedding row of a sample is read forward and its gradient written back; a layer's output is
    written and read forward, and read and its gradient written and read backward.
    """
    weights = sum(weight.numel() for weight in network.parameters())
    floats = 9 * weights
    if network.has_gmf:
        floats += 3 * samples * network.user_gmf.embedding_dim  # the user's are reread from the cache
    if network.has_mlp:
        floats += 5 * samples * sum(layer.bias.numel() for layer in network.tower)  # type: ignore[misc,union-attr]
        floats += 3 * samples // (1 + negatives) * network.user_mlp.embedding_dim
    return 4 * floats


def _times_to_target(folder: Path, device: torch.device) -> list[dict[str, Any]]:
    """A row for each precision: seconds of training until HR@10 on validation items reaches the target, the best NDCG@10
    there, and the seconds of one ranking of them."""
    from ncf.stages.negative_sampling import NegativeSampling
    from ncf.stages.preprocess import Preprocess

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outputs = {output: folder / output for output in ("dataset", "report", "metrics")}
        Preprocess(interactions=str(folder), **outputs).run()
        NegativeSampling(dataset=str(folder / "dataset"), samples=folder / "samples").run()
        dataset, samples = Dataset.load(folder / "dataset"), Samples.load(folder / "samples")
        return [_time_to_target(folder.name, dataset, samples, precision, device) for precision in PRECISIONS]


def _time_to_target(
    data: str, dataset: Dataset, samples: Samples, precision: Literal["float32", "mixed"], device: torch.device
) -> dict[str, Any]:
    trainer = Trainer(dataset, samples, Hyperparameters(precision=precision), World(0, 1, device))
    trainer.run()
    ranking = Validation(samples, range(dataset.n_users), World(0, 1, device))
    network = Network(trainer.config, dataset.n_users).to(device)
    ranking.metrics(network)
    started = time.perf_counter()
    ranking.metrics(network)
    evaluation = time.perf_counter() - started
    seconds, selection = 0.0, trainer.record.epochs["selection"]
    for record in selection:
        seconds += record["seconds"]
        if record["hr_at_10"] >= TARGET:
            break
    else:
        seconds = float("nan")
    best = max(record["ndcg_at_10"] for record in selection)
    return {
        "configuration": f"{data}, default",
        "way": f"graph, {precision}: {seconds:.2f} s to HR@10 {TARGET} on validation, best NDCG@10 {best:.4f}, "
        f"ranking {evaluation:.3f} s",
        "M samples/s": trainer.record.samples_per_second / 1e6,
        "GB/s": "",
        "share of copy bandwidth": "",
    }
