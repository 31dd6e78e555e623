"""Loss and gradients of a step on the CPU by compiled code, ``step.cpp``, several times as fast as autograd.

It is built with the package where there is a C++ compiler; elsewhere, on a GPU and with dropout, torch's autograd
gives the same gradients.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ncf.models.networks import Network

_MOST_LAYERS = 16
_Floats, _Many = ctypes.c_void_p, ctypes.c_void_p * _MOST_LAYERS


class _Step(ctypes.Structure):
    """``struct Step`` of step.cpp, field by field."""

    _fields_ = (
        ("positives", ctypes.c_int64),
        ("items_per_positive", ctypes.c_int64),
        ("users", ctypes.c_void_p),
        ("items", ctypes.c_void_p),
        ("factors", ctypes.c_int64),
        ("user_gmf", _Floats),
        ("item_gmf", _Floats),
        ("d_user_gmf", _Floats),
        ("d_item_gmf", _Floats),
        ("layers", ctypes.c_int64),
        ("widths", ctypes.c_int64 * (_MOST_LAYERS + 1)),
        ("user_mlp", _Floats),
        ("item_first", _Floats),
        ("d_user_mlp", _Floats),
        ("d_item_first", _Floats),
        ("weight", _Many),
        ("d_weight", _Many),
        ("bias", _Many),
        ("d_bias", _Many),
        ("output", _Floats),
        ("output_bias", _Floats),
        ("d_output", _Floats),
        ("d_output_bias", _Floats),
        ("scale", ctypes.c_float),
    )


@cache
def _library() -> ctypes.CDLL | None:
    path = Path(__file__).with_name(f"step-{sys.platform}-{platform.machine()}.so")  # as setup.py names it
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.ncf_step.argtypes = [ctypes.c_void_p]
    library.ncf_step.restype = ctypes.c_double
    return library


def is_available() -> bool:
    """Whether the compiled code was built with this installation."""
    return _library() is not None


class Kernel:
    """Adds up the gradients of a network's steps, in several threads.

    Args:
        network: on the CPU, without dropout; its weights stay where they are.
        threads: that share each step.

    Raises:
        ValueError: if the network is none that the compiled code can do; see :meth:`fits`.
    """

    def __init__(self, network: Network, threads: int) -> None:
        if not self.fits(network):
            raise ValueError("the compiled step does networks on the CPU, without dropout, of at most 16 layers")
        self._network, self._threads = network, threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._tower = [cast(nn.Linear, layer) for layer in network.tower] if network.has_mlp else []
        self._half = network.user_mlp.embedding_dim if network.has_mlp else 0
        self._shared = {name: w for name, w in network.named_parameters() if not name.startswith("user_")}
        self._item_first = torch.empty(0)
        self._gradients: list[dict[str, Tensor]] = [{} for _ in range(threads)]

    @staticmethod
    def fits(network: Network) -> bool:
        """Whether the compiled code is there and can do this network."""
        on_cpu = network.output.weight.device.type == "cpu"
        layers = len(network.tower) if network.has_mlp else 0
        return is_available() and on_cpu and not network.dropout and layers <= _MOST_LAYERS

    @torch.no_grad()
    def add_gradients(self, users: Tensor, items: Tensor, scale: float) -> float:
        """Set ``grad`` of every weight to the gradients of a step.

        Args:
            users: int32 [B], rows of the user tables.
            items: int32 [B, C], the positive first.
            scale: factor of the gradients: one over the samples of the step in all processes.

        Returns:
            The summed loss, not scaled.
        """
        network = self._network
        users, order = torch.sort(users)
        items = items[order].contiguous()
        if network.has_mlp:
            first = self._tower[0]
            self._item_first = torch.addmm(first.bias, network.item_mlp.weight, first.weight[:, self._half :].T)
        self._zero()
        steps = [
            self._step(users[start:end], items[start:end], scale, own)
            for (start, end), own in zip(self._parts(users), self._gradients, strict=True)
        ]
        loss = self._run(steps)
        self._publish()
        return loss

    def _parts(self, users: Tensor) -> list[tuple[int, int]]:
        """Cut sorted users into a range for each thread, so that no user is in two."""
        ids = users.numpy()
        cuts = [int(np.searchsorted(ids, ids[len(ids) * part // self._threads])) for part in range(1, self._threads)]
        bounds = [0, *(cuts if len(ids) else [0] * (self._threads - 1)), len(ids)]
        return list(zip(bounds[:-1], bounds[1:], strict=True))

    def _zero(self) -> None:
        network = self._network
        for weight in network.parameters():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            else:
                weight.grad.zero_()
        for own in self._gradients:
            if not own:
                own |= {name: torch.zeros_like(weight) for name, weight in self._shared.items()}
                if network.has_mlp:
                    own["item_first"] = torch.zeros_like(self._item_first)
                    own["user_part"] = torch.zeros(self._tower[0].out_features, self._half)
            else:
                for gradient in own.values():
                    gradient.zero_()

    def _step(self, users: Tensor, items: Tensor, scale: float, own: dict[str, Tensor]) -> tuple[_Step, list[Any]]:
        """The structure of one thread's part, and what must live as long as it."""
        network, step = self._network, _Step()
        kept: list[Any] = [users, items]
        step.positives, step.items_per_positive = items.shape
        step.users, step.items, step.scale = users.data_ptr(), items.data_ptr(), scale
        step.output, step.output_bias = network.output.weight.data_ptr(), network.output.bias.data_ptr()
        step.d_output, step.d_output_bias = own["output.weight"].data_ptr(), own["output.bias"].data_ptr()
        if network.has_gmf:
            step.factors = network.user_gmf.embedding_dim
            step.user_gmf, step.item_gmf = network.user_gmf.weight.data_ptr(), network.item_gmf.weight.data_ptr()
            step.d_user_gmf = _grad(network.user_gmf.weight).data_ptr()
            step.d_item_gmf = own["item_gmf.weight"].data_ptr()
        if network.has_mlp:
            step.layers = len(self._tower)
            step.widths[0] = self._half
            user_part = self._tower[0].weight[:, : self._half].contiguous()
            kept.append(user_part)
            for place, layer in enumerate(self._tower):
                step.widths[place + 1] = layer.out_features
                step.weight[place] = (layer.weight if place else user_part).data_ptr()
                step.d_weight[place] = own[f"tower.{place}.weight" if place else "user_part"].data_ptr()
                step.bias[place] = layer.bias.data_ptr()
                step.d_bias[place] = own[f"tower.{place}.bias"].data_ptr()
            step.user_mlp, step.item_first = network.user_mlp.weight.data_ptr(), self._item_first.data_ptr()
            step.d_user_mlp = _grad(network.user_mlp.weight).data_ptr()
            step.d_item_first = own["item_first"].data_ptr()
        return step, kept

    def _run(self, steps: list[tuple[_Step, list[Any]]]) -> float:
        library = _library()
        assert library is not None

        def run(part: tuple[_Step, list[Any]]) -> float:
            return float(library.ncf_step(ctypes.byref(part[0])))

        others = [self._pool.submit(run, part) for part in steps[1:]] if self._pool is not None else []
        return run(steps[0]) + sum(other.result() for other in others)

    def _publish(self) -> None:
        """Join the threads' gradients, and lead those of the items' part of the first layer on."""
        total = self._gradients[0]
        for own in self._gradients[1:]:
            for name, gradient in own.items():
                total[name] += gradient
        for name, weight in self._shared.items():
            _grad(weight).copy_(total[name])
        network = self._network
        if network.has_mlp:
            first, item_first = self._tower[0], total["item_first"]
            _grad(first.bias).copy_(item_first.sum(0))
            _grad(first.weight)[:, : self._half] = total["user_part"]
            torch.mm(item_first.T, network.item_mlp.weight, out=_grad(first.weight)[:, self._half :])
            torch.mm(item_first, first.weight[:, self._half :], out=_grad(network.item_mlp.weight))


def _grad(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad
