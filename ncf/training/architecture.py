"""The architecture that a warm start needs: that of the earlier model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncf.errors import InputError

_PARTS: Mapping[str, Sequence[str]] = {
    "history": ("model", "factors", "history"),
    "gmf": ("model", "factors"),
    "mlp": ("model", "tower"),
    "neumf": ("model", "factors", "tower"),
}
"""Model -> the parameters that shape its weights, beside the data."""


def check_same_architecture(now: Mapping[str, Any], earlier: Mapping[str, Any], but: Sequence[str] = ()) -> None:
    """Refuse to start from a model of another architecture.

    Args:
        now: parameters, or configuration, of the model to train.
        earlier: those of the model to start from; what they do not name is not compared.
        but: names that are not compared.

    Raises:
        InputError: naming the differences.
    """
    differences = [
        f"'{name}' is {now[name]}, the earlier model's is {earlier[name]}"
        for name in _PARTS[now["model"]]
        if name in earlier and name not in but and now[name] != earlier[name]
    ]
    if differences:
        raise InputError(f"parameter 'warm_start': {'; '.join(differences)}; a warm start needs the same architecture")
