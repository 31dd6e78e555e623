"""What an epoch trains on: shuffled positives with their negatives, cut into steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.dataset import check_range, load_array
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.errors import InputError
from ncf.training import kernel
from ncf.training.kernel.draws import DrawnEpoch, Draws
from ncf.training.negatives import NegativeSampler, check_some_left

POSITIVES_AT_ONCE = 1 << 21
"""Whose samples are in memory together, about: what an epoch takes beside 4 bytes for each positive."""


class SamplesOf(Protocol):
    """The users, int32 [n], and items, int32 [n, 1 + negatives], of some positives."""

    def __call__(self, positives: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Epoch:
    """The shuffled samples of one epoch in one process, drawn for some steps at a time.

    The order is uniform among all: one random permutation deals the positives to chunks of whole steps; a chunk's are
    sorted, so that what belongs to them is read in one direction and negatives are drawn in order of users, and then
    shuffled among themselves. Seeds are of the epoch and the chunk, so an epoch is the same wherever it is begun.

    Attributes:
        samples: of some positives, given by number, ascending.
        positives: how many this process has.
        steps: steps in the epoch, the same in every process.
        seed: of this epoch in this process.
        device: where the samples live.
    """

    samples: SamplesOf
    positives: int
    steps: int
    seed: int
    device: torch.device

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Users [B] and items [B, 1 + negatives] of each step from ``first_step`` on."""
        n, steps = self.positives, self.steps
        generator = torch.Generator(self.device).manual_seed(self.seed)
        order = torch.randperm(n, generator=generator, device=self.device, dtype=torch.int32)
        together = max(1, POSITIVES_AT_ONCE * steps // max(n, 1))  # steps in a chunk
        for chunk in range(first_step // together, -(-steps // together)):
            begin, end = chunk * together, min((chunk + 1) * together, steps)
            start, stop = _bound(begin, n, steps), _bound(end, n, steps)
            generator.manual_seed(derived_seed(self.seed, chunk))
            users, items = self.samples(order[start:stop].sort().values, generator)
            shuffled = torch.randperm(stop - start, generator=generator, device=self.device)
            users, items = users[shuffled], items[shuffled]
            for step in range(max(begin, first_step), end):
                rows = slice(_bound(step, n, steps) - start, _bound(step + 1, n, steps) - start)
                yield users[rows], items[rows]


def _bound(step: int, rows: int, steps: int) -> int:
    return step * rows // steps


def step_bounds(rows: int, steps: int) -> list[int]:
    """First row of each step, and the number of rows."""
    return [_bound(step, rows, steps) for step in range(steps + 1)]


def samples_in_step(step: int, steps: int, rows: NDArray[np.int64], samples_per_row: int) -> int:
    """Samples of a step over all processes, of which process ``r`` has ``rows[r]`` positives."""
    return samples_per_row * sum(_bound(step + 1, int(n), steps) - _bound(step, int(n), steps) for n in rows)


class EpochSource:
    """Makes the epochs of one fit for one process: what is random in them depends on seed and epoch alone.

    Args:
        positives: what to fit, the items of all users.
        exclusion: what is no negative: the positives of this fit.
        users: those that this process owns.
        n_items: size of the catalogue.
        negatives: for each positive.
        rounds: shards of each materialised round (``Samples.rounds``); without any, negatives are drawn anew.
        seed: one for each fit and process.
        device: where the samples live.
    """

    def __init__(
        self,
        positives: ItemsByUser,
        exclusion: ItemsByUser,
        users: range,
        n_items: int,
        negatives: int,
        rounds: list[list[Path]],
        seed: list[int],
        device: torch.device,
    ) -> None:
        self.users, self.n_items = users, n_items
        self.negatives, self.rounds, self.seed, self.device = negatives, rounds, seed, device
        own = part_of(positives, users)
        self._users = torch.from_numpy(own.users()).to(device)  # [P]
        self._positives = torch.from_numpy(own.items).to(device)  # [P]
        self._sampler: NegativeSampler | None = None
        self._draws: Draws | None = None
        if not rounds and device.type == "cpu" and kernel.is_available():
            check_some_left(exclusion, n_items)
            self._draws = Draws(part_of(exclusion, users), n_items, torch.get_num_threads())
        elif not rounds:
            self._sampler = NegativeSampler(part_of(exclusion, users), n_items, device)

    def epoch(self, number: int, steps: int) -> Epoch | DrawnEpoch:
        """Epoch ``number`` (from 1) in ``steps`` steps."""
        seed = derived_seed(*self.seed, number)
        if self._draws is not None:
            return DrawnEpoch(self._draws, self._users, self._positives, self.negatives, seed, steps)
        samples = self._drawn(self._sampler) if self._sampler is not None else self._of_round(number)
        return Epoch(samples, len(self._users), steps, seed, self.device)

    def _drawn(self, sampler: NegativeSampler) -> SamplesOf:
        def samples(positives: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            users = self._users[positives]
            drawn = sampler.draw(users, self.negatives, generator)
            return users, torch.cat([self._positives[positives].unsqueeze(1), drawn], 1)

        return samples

    def _of_round(self, number: int) -> SamplesOf:
        """The samples of this process in a materialised round; after the last, the first comes again."""
        shards = [self._own_rows(path) for path in self.rounds[(number - 1) % len(self.rounds)]]
        ends = np.cumsum([len(rows) for rows in shards])
        if ends[-1] != len(self._users):
            raise InputError(
                f"{self.rounds[0][0].parent}: {ends[-1]} positives in a round, the data set has "
                f"{len(self._users)}; the samples are not those of this data set, or shards are missing"
            )

        def samples(positives: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG001
            numbers = positives.cpu().numpy()
            bounds = np.searchsorted(numbers, [0, *ends])
            parts = [
                rows[numbers[low:high] - (end - len(rows))]
                for rows, low, high, end in zip(shards, bounds, bounds[1:], ends, strict=False)
            ]
            joined = torch.from_numpy(np.concatenate(parts))
            return (joined[:, 0] - self.users.start).to(self.device), joined[:, 1:].to(self.device)

        return samples

    def _own_rows(self, path: Path) -> NDArray[np.int32]:
        """The rows of this process's users in a shard, int32 [rows, 2 + negatives], memory-mapped."""
        rows = load_array(path, 2)
        if rows.shape[1] < 2 + self.negatives:
            raise InputError(
                f"{path}: {rows.shape[1] - 2} negatives a positive, but parameter 'negatives' is "
                f"{self.negatives}: lower it, or materialise more"
            )
        start, stop = np.searchsorted(rows[:, 0], [self.users.start, self.users.stop])  # users are in order
        own: NDArray[np.int32] = rows[start:stop, : 2 + self.negatives]
        check_range(path, own[:, 1:], self.n_items)
        return own


def part_of(positives: ItemsByUser, users: range) -> ItemsByUser:
    """Some of the users, numbered from 0; in memory."""
    offsets = np.array(positives.offsets[users.start : users.stop + 1])
    return ItemsByUser(offsets - offsets[0], np.array(positives.items[offsets[0] : offsets[-1]], np.int32))


def derived_seed(*parts: int) -> int:
    """One well-mixed seed for a combination of numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)
