"""Comparison of two model folders: the first tensor that differs, and the first other file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import HISTORY, HOSTED_WEIGHTS, WEIGHTS, ModelFolder, Weights

_NOT_COMPARED = {"seconds", "samples_per_second", "trained_at", "hyperparameters"}
"""Keys of history.json: times, which differ from fit to fit, and settings, which name the device of a fit."""


def compared_weights(model: ModelFolder, again: ModelFolder) -> Iterator[tuple[str, str]]:
    """Each file of weights, and how its first tensor that differs does so; '' if the bytes are the same.

    Args:
        model: the model that is verified.
        again: the model of the new fit.
    """
    pairs = (
        (WEIGHTS, model.weights, again.weights),
        (HOSTED_WEIGHTS, model.hosted_weights, again.hosted_weights),
    )
    for name, one, other in pairs:
        if one is None or other is None:
            if one is not other:
                yield name, f"only {'the new fit' if one is None else 'the model'} has this file"
            continue
        yield name, first_difference(one, other)


def first_difference(model: Weights, again: Weights) -> str:
    """How the first tensor that differs does so; '' if all have the same bytes. Tensors are in the model's order."""
    for name in [*model, *(name for name in again if name not in model)]:
        if name not in model or name not in again:
            return f"tensor '{name}' is only in {'the model' if name in model else 'the new fit'}"
        one, other = model[name], again[name]
        if one.shape != other.shape:
            return f"tensor '{name}' is {list(one.shape)} in the model, {list(other.shape)} in the new fit"
        unequal = _bits(one) != _bits(other)
        if unequal.any():
            index = tuple(map(int, np.argwhere(unequal)[0]))
            count, largest = int(np.count_nonzero(unequal)), float(np.abs(one - other).max())
            return (
                f"first tensor that differs: '{name}', in {count:,} of {one.size:,} numbers; at {list(index)} the "
                f"model has {one[index]:.9g}, the new fit {other[index]:.9g}; largest difference {largest:.2g}"
            )
    return ""


def _bits(array: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(array).view(np.uint32)


def other_files(model: Path, again: Path) -> list[str]:
    """Names of the files, beside the weights, whose content differs. Times and speeds of a fit are left out."""
    entries = [manifest.read(folder, "model")["files"] for folder in (model, again)]
    one, other = ({name: entry["sha256"] for name, entry in files.items()} for files in entries)
    names = sorted((one.keys() | other.keys()) - {WEIGHTS, HOSTED_WEIGHTS, HISTORY})
    different = [name for name in names if one.get(name) != other.get(name)]
    histories = [_timeless(json.loads((folder / HISTORY).read_text())) for folder in (model, again)]
    return different if histories[0] == histories[1] else [*different, HISTORY]


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _timeless(entry) for name, entry in value.items() if name not in _NOT_COMPARED}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value
