"""Adam that updates only the rows of a step's samples in large tables (Kingma and Ba 2015, algorithm 1).

Dense Adam moves every row of every table in each step, also by a gradient of 0: with a million users that is most of
a step. In a lazy table, a step updates only the rows of its samples, after it has caught up the missed steps in closed
form: the moments decay, and the row moves by its decaying mean. The result is dense Adam's, except that ``epsilon`` is
taken as a constant share of the denominator during the missed steps.

At the end of an epoch all rows are brought to its last step, by gradients of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from ncf.models.networks import ITEM_TABLES, USER_TABLES, AnyNetwork

LAZY_ABOVE = {"users": 8.0, "items": 3.0}
"""Ratio of a table's rows to the users of the positives, or items of the samples, of a step above which the table is
lazy. Above it, the compiled step is faster with lazy tables (``python -m tests.benchmarks lazy``)."""

_REMEMBERED = 192
"""Missed steps after which a row moves no further: its mean has faded to a billionth."""

MOMENTS = ("exp_avg", "exp_avg_sq")


def lazy_tables(network: AnyNetwork, users: int, positives: int, samples: int) -> frozenset[str]:
    """Names of the tables in which a step updates only the rows of its samples.

    Args:
        network: on any device; no table on a GPU is lazy, as it has the bandwidth.
        users: of all processes.
        positives: in a step of all processes.
        samples: positives and negatives in a step.
    """
    if next(network.parameters()).device.type != "cpu":
        return frozenset()
    names = set[str]()
    if users / positives > LAZY_ABOVE["users"]:
        names.update(USER_TABLES)
    if network.n_items / samples > LAZY_ABOVE["items"]:
        names.update(ITEM_TABLES)
    return frozenset(name for name, _ in network.named_parameters() if name in names)


class AdamState:
    """State of a fit's Adam: its steps, its moments, and the last step that updated each row of a lazy table.

    Args:
        network: the weights.
        optimiser: torch's Adam over them, a group for each; it holds the moments, and updates the other tables
            unless the compiled step does.
        learning_rate: of each step of the fit, from 0.
        steps: of the whole fit.
        lazy: names of the lazy tables.

    Attributes:
        lazy: names of the lazy tables.
        step: steps done.
        rate: learning rate of the next step over ``1 - beta1^step``.
        scale: ``1 / sqrt(1 - beta2^step)`` of the next step.
        drift: float32 [steps + 1], by step of a row's last update: distance that the row has moved since. The unit is
            ``mean / sqrt(mean_square)`` of the row at that step.
        scale_after: float32 [steps + 1], ``scale`` of each step.
    """

    def __init__(
        self,
        network: AnyNetwork,
        optimiser: torch.optim.Adam,
        learning_rate: Callable[[int], float],
        steps: int,
        lazy: frozenset[str],
    ) -> None:
        self._weights = dict(network.named_parameters())
        self._optimiser, self._learning_rate, self.lazy = optimiser, learning_rate, lazy
        self.betas: tuple[float, float] = optimiser.defaults["betas"]
        self.epsilon: float = optimiser.defaults["eps"]
        names = {weight: name for name, weight in self._weights.items()}
        self.l2 = {names[group["params"][0]]: group["weight_decay"] for group in optimiser.param_groups}
        self._last_step = {
            n: torch.zeros(len(self._weights[n]), dtype=torch.int32, device=self._weights[n].device) for n in lazy
        }
        ages = np.arange(steps + 1, dtype=np.float64)
        self.scale_after = torch.from_numpy((1 / np.sqrt(1 - self.betas[1] ** np.maximum(ages, 1))).astype(np.float32))
        self.drift = torch.zeros(steps + 1)
        self._exact_drift = np.zeros(steps + 1)
        self._fading = (self.betas[0] / math.sqrt(self.betas[1])) ** np.arange(_REMEMBERED, 0, -1, dtype=np.float64)
        self.step = 0
        self._prepare()

    @property
    def is_lazy(self) -> bool:
        """Whether any table is lazy."""
        return bool(self.lazy)

    @property
    def lazy_items(self) -> bool:
        """Whether the item tables are lazy."""
        return any(name in ITEM_TABLES for name in self.lazy)

    def moments(self, name: str) -> list[Tensor]:
        """Mean and mean square of a weight's gradients."""
        weight = self._weights[name]
        kept = self._optimiser.state[weight]
        return [kept.setdefault(moment, torch.zeros_like(weight)) for moment in MOMENTS]

    def last_step(self, name: str) -> Tensor | None:
        """int32 [rows], the last step (from 1) that updated each row; None for a table that is not lazy."""
        return self._last_step.get(name)

    def go_to(self, step: int, behind: Mapping[str, Tensor]) -> None:
        """Continue after ``step`` steps; the caller sets the moments and :meth:`last_step`.

        Args:
            step: steps done.
            behind: int32 [rows] by the name of a table that is not lazy here but was before: the last step that
                updated each row. The rows are brought up to ``step``.
        """
        self._exact_drift[:] = 0
        self.drift.zero_()
        if self.lazy or behind:
            for done in range(2, step + 1):
                self._record(done)
        self.step = step
        for name, last_step in behind.items():
            self._catch_up(name, slice(None), last_step)
        for weight in self._weights.values():
            self._optimiser.state[weight]["step"] = torch.tensor(float(step), device=weight.device)
        self._prepare()

    def advance(self) -> None:
        """Count a step as done."""
        self.step += 1
        if self.lazy and self.step > 1:
            self._record(self.step)
        self._prepare()

    def _prepare(self) -> None:
        step = self.step + 1
        rate = self._learning_rate(self.step)
        for group in self._optimiser.param_groups:
            if not isinstance(group["lr"], Tensor):  # steps on the device set it there
                group["lr"] = rate
        self.rate = rate / (1 - self.betas[0] ** step)
        self.scale = 1 / math.sqrt(1 - self.betas[1] ** step)

    def _record(self, step: int) -> None:
        """Add this step to the drift of the rows that it does not update."""
        scale = 1 / math.sqrt(1 - self.betas[1] ** step)
        first = max(1, step - _REMEMBERED)
        rate = self._learning_rate(step - 1) / (1 - self.betas[0] ** step) / scale
        moved = rate * self._fading[first - step :]
        self._exact_drift[first:step] += moved / np.sqrt(1 - self.betas[1] ** np.arange(first, step))
        self.drift[first:step] = torch.from_numpy(self._exact_drift[first:step])

    def catch_up(self, users: Tensor, items: Tensor) -> None:
        """Bring rows of lazy tables to the end of the previous step.

        Args:
            users: int, rows of the user tables, distinct.
            items: as ``users``, of the item tables.
        """
        for name in self.lazy:
            rows = users if name in USER_TABLES else items
            self._catch_up(name, rows, self._last_step[name][rows])

    @torch.no_grad()
    def _catch_up(self, name: str, rows: Tensor | slice, last_step: Tensor) -> None:
        weight, (mean, square) = self._weights[name], self.moments(name)
        last = last_step.long()
        scale, drift = (of_step.to(last.device)[last].unsqueeze(1) for of_step in (self.scale_after, self.drift))
        missed = torch.where(last > 0, self.step - last, 0).unsqueeze(1)
        size = square[rows].sqrt() * scale + self.epsilon
        weight[rows] -= torch.where(missed > 0, drift * mean[rows] / size, 0)
        mean[rows] *= self.betas[0] ** missed
        square[rows] *= self.betas[1] ** missed

    @torch.no_grad()
    def update(self, users: Tensor, items: Tensor, gradients: Mapping[str, Tensor] | None = None) -> None:
        """Update all weights by their ``grad``; of lazy tables, only the given rows.

        Args:
            users: int, rows of the user tables, distinct.
            items: as ``users``, of the item tables.
            gradients: of the given rows by the name of a lazy table, where tables have no ``grad``.
        """
        for name in self.lazy:
            weight, rows = self._weights[name], users if name in USER_TABLES else items
            if gradients is None:
                assert weight.grad is not None
                self._update(name, rows, weight.grad[rows])
                weight.grad = None  # torch's Adam skips it
            else:
                self._update(name, rows, gradients[name])
        self._optimiser.step()

    def _update(self, name: str, rows: Tensor, gradient: Tensor) -> None:
        weight, (mean, square) = self._weights[name], self.moments(name)
        step = self.step + 1
        mean[rows] = torch.lerp(gradient, mean[rows], self.betas[0])
        square[rows] = torch.lerp(gradient * gradient, square[rows], self.betas[1])
        weight[rows] -= self.rate * mean[rows] / (square[rows].sqrt() * self.scale + self.epsilon)
        self._last_step[name][rows] = step

    @torch.no_grad()
    def settle(self) -> None:
        """After the update: bring all rows of lazy tables to the end of this step, by gradients of 0."""
        for name in self.lazy:
            rows = torch.nonzero(self._last_step[name] <= self.step).squeeze(1)
            self._catch_up(name, rows, self._last_step[name][rows])
            self._update(name, rows, torch.zeros_like(self._weights[name][rows]))
