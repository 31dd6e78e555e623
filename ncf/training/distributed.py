"""The processes of a training run: the users of each, and the messages between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from ncf.cores import available_cores
from ncf.errors import InputError


@dataclass(frozen=True)
class World:
    """This process and the number of all.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes outputs and logs for all."""
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace ``tensor`` on every process by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_message(self, message: Tensor, flag: bool) -> bool:
        """Replace ``message`` (float32), whose last number is free, by its sum over all processes.

        Returns:
            Whether ``flag`` is set on any process.
        """
        if self.size == 1:
            return flag
        message[-1] = float(flag)
        dist.all_reduce(message)
        return bool(message[-1] > 0)

    def union(self, numbers: Tensor) -> Tensor:
        """The distinct numbers of all processes, ascending; ``numbers`` of this process are too, int32 [n]."""
        if self.size == 1:
            return numbers
        own = torch.tensor([len(numbers)], device=self.device)
        lengths = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(lengths, own)
        longest = max(int(length) for length in lengths)
        parts = [numbers.new_empty(longest) for _ in range(self.size)]
        dist.all_gather(parts, torch.cat([numbers, numbers.new_zeros(longest - len(numbers))]))
        union: Tensor = torch.unique(torch.cat([part[: int(n)] for part, n in zip(parts, lengths, strict=True)]))
        return union

    def all_reduce_many(self, tensors: list[Tensor], flag: bool) -> bool:
        """Replace each of ``tensors`` (float32) by its sum over all processes, in one message.

        Returns:
            Whether ``flag`` is set on any process.
        """
        if self.size == 1:
            return flag
        own = torch.tensor([float(flag)], device=self.device)
        message = torch.cat([*(tensor.reshape(-1) for tensor in tensors), own])
        dist.all_reduce(message)
        parts = torch.split(message, [*(tensor.numel() for tensor in tensors), 1])
        for tensor, part in zip(tensors, parts, strict=False):
            tensor.copy_(part.view_as(tensor))
        return bool(message[-1] > 0)

    def gather_rows(self, rows: Tensor, bounds: NDArray[np.int64]) -> Tensor | None:
        """The rows of all processes, [bounds[-1], ...], on the CPU of the first one; None in the others."""
        rows = rows.detach()
        if not self.is_first:
            if len(rows):
                dist.send(rows.contiguous(), dst=0)
            return None
        parts = [rows.cpu()]
        for rank in range(1, self.size):
            part = rows.new_empty(int(bounds[rank + 1] - bounds[rank]), *rows.shape[1:])
            if len(part):
                dist.recv(part, src=rank)
            parts.append(part.cpu())
        return torch.cat(parts)

    def scatter_rows(self, table: Tensor | None, own: Tensor, bounds: NDArray[np.int64]) -> None:
        """Copy this process's rows of ``table``, [bounds[-1], ...], from the first process to ``own``."""
        if self.is_first:
            assert table is not None
            own.copy_(table[: bounds[1]])
            for rank in range(1, self.size):
                part = table[bounds[rank] : bounds[rank + 1]].to(self.device).contiguous()
                if len(part):
                    dist.send(part, dst=rank)
        elif len(own):
            part = torch.empty_like(own, memory_format=torch.contiguous_format)
            dist.recv(part, src=0)
            own.copy_(part)

    def broadcast(self, tensor: Tensor) -> None:
        """Overwrite ``tensor`` by that of the first process."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)

    def broadcast_text(self, text: str) -> str:
        """The first process's ``text``, on every process."""
        box = [text]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


def owned_users(counts: NDArray[np.int64], processes: int) -> NDArray[np.int64]:
    """Ranges of users with about equal numbers of positives.

    Args:
        counts: int64 [users], positives of each user.
        processes: number of ranges.

    Returns:
        int64 [processes + 1]: process ``r`` owns the users ``bounds[r] : bounds[r + 1]``.
    """
    total = np.concatenate([[0], np.cumsum(counts)])
    wanted = np.arange(1, processes) * total[-1] / processes
    return np.concatenate([[0], np.searchsorted(total, wanted), [len(counts)]]).astype(np.int64)


@contextmanager
def process_group(device: Literal["auto", "cpu", "cuda"], threads: int = 0) -> Iterator[World]:
    """Membership of the process group, with this process's device and threads.

    Args:
        device: parameter of that name.
        threads: of this process; 0: its share of the cores.

    Raises:
        InputError: if ``device`` is cuda without a GPU, or there are more processes than GPUs on this host.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("parameter 'device' is cuda, but no CUDA device is available; use cpu or auto")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if on_gpu and local_rank >= torch.cuda.device_count():
        raise InputError(
            f"parameter 'processes_per_host' is {local_size}, but there are only "
            f"{torch.cuda.device_count()} GPUs; use at most one process for each"
        )
    own_device = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    # The moments of rarely updated rows decay towards 0, and denormal numbers (below 1e-38) slow a CPU down fourfold.
    # Set before the first parallel region, as threads inherit it.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads or max(1, available_cores() // local_size))
    try:
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            yield World(0, 1, own_device)
            return
        if on_gpu:
            torch.cuda.set_device(own_device)
        # with `device_id`, NCCL's communicator is made at once, so that its errors are raised here
        dist.init_process_group("nccl" if on_gpu else "gloo", device_id=own_device if on_gpu else None)
        try:
            yield World(dist.get_rank(), dist.get_world_size(), own_device)
        finally:
            dist.destroy_process_group()
    finally:
        torch.set_flush_denormal(False)
