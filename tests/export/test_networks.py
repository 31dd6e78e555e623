"""Exported networks answer as the scorer does, for each kind and size of model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from exported import answer, for_histories, for_users
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.export import onnx_file
from ncf.export.networks import networks
from ncf.models.scorer import Scorer

N_USERS = 12
SIZES = {
    "smallest": {"factors": 1, "tower": [2, 1], "history": 1, "n_items": 7},
    "small": {"factors": 4, "tower": [16, 8, 4], "history": 3, "n_items": 40},
    "default": {"factors": 64, "tower": [128, 64, 32, 16], "history": 50, "n_items": 400, "positives": 70},
}
NAMES: Sequence[ModelName] = ("history", "gmf", "mlp", "neumf")


def equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def written(model: ModelFolder, folder: Path) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """Sessions of the scores and of the catalogue."""
    onnx_file.write_all(folder / "onnx", networks(model), "0123")
    paths = [folder / "onnx" / f"{name}.onnx" for name in ("scores", "catalogue")]
    for path in paths:
        onnx.checker.check_model(str(path), full_check=True)
    scores, catalogue = map(onnxruntime.InferenceSession, paths)
    return scores, catalogue


def check_users(model: ModelFolder, folder: Path) -> None:
    """Known users, one and many, with one candidate and many."""
    scores, catalogue = written(model, folder)
    scorer, rng = Scorer(model.config, model.weights, model.seen), np.random.default_rng(1)
    for batch, candidates in ((1, 1), (3, 5), (N_USERS, 2 * model.config.n_items)):
        users = rng.integers(0, N_USERS, batch)
        items = rng.integers(0, model.config.n_items, (batch, candidates))
        request = for_users(model, users.tolist())
        equal(answer(catalogue, request), scorer.score_all(users))
        equal(answer(scores, {**request, "items": items}), scorer.score_pairs(users, items))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_scorer_s(name: ModelName, size: str, tmp_path: Path) -> None:
    check_users(random_model(name, n_users=N_USERS, **SIZES[size]), tmp_path)


def test_all_items_of_a_history_may_count_the_same(tmp_path: Path) -> None:
    check_users(random_model("history", n_users=N_USERS, history=0), tmp_path)


@pytest.mark.parametrize("history", [0, 3])
def test_new_users_are_their_histories(history: int, tmp_path: Path) -> None:
    """Shorter and longer ones than the model's, an empty one, and more padding than needed."""
    model = random_model("history", history=history)
    scores, catalogue = written(model, tmp_path)
    histories = [[3], [], [39, 0, 7, 7, 1, 20], [5, 6, 7]]
    users, items = np.arange(len(histories)), np.arange(40)[None].repeat(len(histories), 0)
    flat = np.array([item for one in histories for item in one], np.int32)
    expected = Scorer(model.config, model.weights, ItemsByUser(np.cumsum([0, *map(len, histories)]), flat)).score_all(
        users
    )
    for padding in (0, 1, 9):
        request = for_histories(histories, padding)
        equal(answer(catalogue, request), expected)
        equal(answer(scores, {**request, "items": items}), expected)


def test_the_order_of_a_history_counts(tmp_path: Path) -> None:
    _, catalogue = written(random_model("history"), tmp_path)
    forwards, backwards = answer(catalogue, for_histories([[1, 2, 3], [3, 2, 1]]))
    assert np.abs(forwards - backwards).max() > 1e-3
