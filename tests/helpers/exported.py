"""Requests to exported networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelFolder

Request = dict[str, NDArray[Any]]


def for_users(model: ModelFolder, users: Sequence[int]) -> Request:
    """A request for users whom the model knows, by index."""
    if not model.config.has_history:
        return {"users": np.array(users)}
    return for_histories([model.seen.of_user(user).tolist() for user in users])


def for_histories(histories: Sequence[Sequence[int]], padding: int = 0) -> Request:
    """A request for users by their items, the oldest first; rows are padded to the longest and further."""
    width = max(map(len, histories)) + padding
    items, weights = np.zeros((len(histories), width), np.int64), np.zeros((len(histories), width), np.float32)
    for row, history in enumerate(histories):
        items[row, : len(history)] = history[::-1]
        weights[row, : len(history)] = 1
    return {"history": items, "weights": weights}


def answer(session: onnxruntime.InferenceSession | Path, request: Request) -> NDArray[np.float32]:
    """Scores of a request."""
    if isinstance(session, Path):
        session = onnxruntime.InferenceSession(session)
    (scores,) = session.run(["scores"], request)
    return np.asarray(scores)
