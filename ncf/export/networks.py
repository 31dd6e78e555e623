"""Networks of a model as graphs of ONNX: the forward pass of :class:`ncf.models.scorer.Scorer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ncf.artifacts.model_folder import ModelFolder
from ncf.models.scorer import Scorer
from ncf.models.user_history import SMALLEST_SUM, UserVectors

BATCH = "batch"
_INDEX, _FLOAT = np.dtype(np.int64), np.dtype(np.float32)


@dataclass(frozen=True)
class Tensor:
    """Input or output of a network.

    Attributes:
        name: of the tensor.
        dtype: int64 for indices, float32 for numbers.
        shape: sizes; the name of a size that each request chooses. The first is ``BATCH``.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[str | int, ...]


@dataclass(frozen=True)
class Network:
    """A graph of ONNX and its weights.

    Attributes:
        name: of the network.
        inputs: of the graph.
        output: of the graph.
        nodes: operators, in order.
        weights: arrays by name, float32, or int64 for axes and bounds.
        values_per_user: numbers of the largest intermediate result of a user; 0 where the request decides.
    """

    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    nodes: Sequence[onnx.NodeProto]
    weights: Mapping[str, NDArray[Any]]
    values_per_user: int = 0


def networks(model: ModelFolder) -> list[Network]:
    """The networks of a hosted model: ``scores`` of given items, and ``catalogue``, the scores of all items.

    Their users are ``users``, int64 [batch], indices; for a ``history`` model ``history``, int64 [batch, history],
    indices of items, the latest first, and ``weights``, float32 of the same shape: 1 for an item, 0 for padding.
    ``scores`` has ``items``, int64 [batch, candidates], too. The output is ``scores``, float32 [batch, candidates] or
    [batch, n_items].
    """
    scorer = Scorer(model.config, model.weights, model.train)
    return [_Builder(model, scorer).scores(), _Builder(model, scorer).catalogue()]


class _Builder:
    """Builder of one network. Each method adds nodes and returns the name of their result."""

    def __init__(self, model: ModelFolder, scorer: Scorer) -> None:
        self._model, self._config, self._scorer = model, model.config, scorer
        self._inputs: list[Tensor] = []
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, NDArray[Any]] = {}

    def scores(self) -> Network:
        """Network of the scores of given items."""
        vector, side = self._users()
        items = self._input("items", _INDEX, "candidates")
        parts = []
        if vector:
            rows = self._rows("item_gmf", items)  # [b, c, factors]
            column = self._node("Unsqueeze", "user_column", vector, self._axes(2))  # [b, factors, 1]
            parts.append(self._squeezed("product", self._node("MatMul", "products", rows, column)))
        if self._config.has_history:
            parts.append(self._rows("item_bias", items))
        if side:
            parts.append(self._tower(side, self._rows("item_side", items)))
        return self._network("scores", parts, "candidates")

    def catalogue(self) -> Network:
        """Network of the scores of all items."""
        vector, side = self._users()
        parts = []
        if vector:
            parts.append(self._node("Gemm", "product", vector, self._table("item_gmf"), transB=1))  # [b, n_items]
        if self._config.has_history:
            parts.append(self._table("item_bias"))
        if side:
            parts.append(self._tower(side, self._table("item_side")))
        width = max(self._config.tower[1:]) if side else 1
        return self._network("catalogue", parts, self._config.n_items, width * self._config.n_items)

    def _users(self) -> tuple[str, str]:
        """Vectors of users in the inner product, [b, factors], and user part of the first layer, [b, tower[1]]."""
        if self._config.has_history:
            return self._history_vector(), ""
        users = self._input("users", _INDEX)
        vector = self._rows("user_gmf", users) if self._config.has_gmf else ""
        if not self._config.has_tower:
            return vector, ""
        first = self._weight("tower.0.user", self._scorer.tower_weights.user_first)
        return vector, self._node("MatMul", "user_side", self._rows("user_mlp", users), first)

    def _history_vector(self) -> str:
        """Weighted mean of the items of histories, as in :class:`ncf.models.user_history.UserVectors`."""
        vectors = UserVectors(self._config, self._model.weights, self._model.train)
        history, weights = self._input("history", _INDEX, "history"), self._input("weights", _FLOAT, "history")
        if vectors.recency is not None:
            start, end, axis = self._axes(0), self._weight("latest", np.array([len(vectors.recency)])), self._axes(1)
            history = self._node("Slice", "latest_items", history, start, end, axis)
            weights = self._node("Slice", "latest_weights", weights, start, end, axis)
            length = self._node("Shape", "length", weights, start=1)
            recency = self._weight("recency", vectors.recency)
            recency = self._node("Slice", "latest_recency", recency, start, length)
            weights = self._node("Mul", "recency_weights", weights, recency)
        total = self._node("ReduceSum", "total", weights, self._axes(1), keepdims=1)
        total = self._node("Max", "bounded_total", total, self._weight("smallest_total", np.array([SMALLEST_SUM])))
        factor = self._node("Div", "factor", self._weight("scale", np.array([vectors.scale])), total)
        weights = self._node("Mul", "item_weights", weights, factor)
        row = self._node("Unsqueeze", "weight_row", weights, self._axes(1))  # [b, 1, h]
        mean = self._node("MatMul", "mean", row, self._rows("item_gmf", history, "history_gmf"))  # [b, 1, factors]
        return self._squeezed("user_vector", mean, axis=1)

    def _tower(self, user_side: str, item_side: str) -> str:
        """Tower part of the logits: [b, tower[1]] and [(b,) c, tower[1]] -> [b, c]."""
        tower = self._scorer.tower_weights
        users = self._node("Unsqueeze", "user_sides", user_side, self._axes(1))
        hidden = self._node("Relu", "hidden.0", self._node("Add", "first.0", item_side, users))
        for layer, (weight, bias) in enumerate(tower.layers, 1):
            product = self._node("MatMul", f"product.{layer}", hidden, self._weight(f"tower.{layer}.weight", weight))
            total = self._node("Add", f"first.{layer}", product, self._weight(f"tower.{layer}.bias", bias))
            hidden = self._node("Relu", f"hidden.{layer}", total)
        output = self._node("MatMul", "tower_column", hidden, self._weight("output", tower.output[:, None]))
        return self._squeezed("tower", output)

    def _network(self, name: str, parts: list[str], width: str | int, values_per_user: int = 0) -> Network:
        """Network whose output is the sum of the parts."""
        if not self._config.has_history:
            parts.append(self._weight("output_bias", self._model.weights["output.bias"]))
        total = parts[0]
        for number, part in enumerate(parts[1:], 1):
            total = self._node("Add", "scores" if number == len(parts) - 1 else f"sum.{number}", total, part)
        output = Tensor("scores", _FLOAT, (BATCH, width))
        return Network(name, tuple(self._inputs), output, self._nodes, self._weights, values_per_user)

    def _table(self, name: str) -> str:
        """A table with a row for each user or item."""
        if name in self._weights:
            return name
        weights = self._model.weights
        match name:
            case "item_gmf" if not self._config.has_history:
                return self._weight(name, self._scorer.gmf_items())  # with the weights of the output
            case "item_side":
                return self._weight(name, self._scorer.tower_weights.item_side)
            case "item_bias":
                return self._weight(name, weights["item_bias.weight"][:, 0])
        return self._weight(name, weights[f"{name}.weight"])

    def _rows(self, table: str, indices: str, name: str = "") -> str:
        """Rows of a table."""
        return self._node("Gather", name or f"{table}_rows", self._table(table), indices)

    def _squeezed(self, name: str, tensor: str, axis: int = 2) -> str:
        return self._node("Squeeze", name, tensor, self._axes(axis))

    def _axes(self, axis: int) -> str:
        return self._weight(f"axis_{axis}", np.array([axis]))

    def _weight(self, name: str, array: NDArray[Any]) -> str:
        self._weights[name] = array
        return name

    def _input(self, name: str, dtype: np.dtype[Any], *sizes: str) -> str:
        self._inputs.append(Tensor(name, dtype, (BATCH, *sizes)))
        return name

    def _node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name
