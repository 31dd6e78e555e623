"""Smoke test: correct answers pass, and each kind of error is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import FakeSageMaker
from random_model import random_model

from ncf.artifacts.model_folder import ModelFolder
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.serving.recommender import Recommender


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    random_model(n_items=12).save(tmp_path / "model", {}, {})
    return tmp_path / "model"


def answer_of(folder: Path) -> Any:
    model = ModelFolder.load(folder)
    recommender = Recommender(model)
    return lambda body: {
        "model_version": model.version,
        "recommendations": recommender.recommend(body["users"], body["k"]),
    }


def test_the_smoke_test_passes_what_the_server_answers(aws: Aws, sagemaker: FakeSageMaker, model_folder: Path) -> None:
    sagemaker.answer = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 3)
    assert test.users == ["u0", "u4", "u8"]
    assert test.run(aws, "shop") >= 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.update(model_version="0123"), "model version 0123"),
        (lambda a: a["recommendations"].pop(), "were requested"),
        (lambda a: a["recommendations"][1].update(source="popular"), "u4.*popular"),
        (lambda a: a["recommendations"][0]["items"].pop(), "u0 gets 6 different items; expected 7"),
        (
            lambda a: a["recommendations"][0]["items"].append(a["recommendations"][0]["items"][0]),
            "expected 7",
        ),
        (lambda a: a.pop("recommendations"), "KeyError"),
    ],
)
def test_the_smoke_test_says_what_is_wrong(
    spoil: Any, words: str, aws: Aws, sagemaker: FakeSageMaker, model_folder: Path
) -> None:
    right = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 3)

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = right(body)
        spoil(content)
        return content

    sagemaker.answer = answer
    with pytest.raises(RemoteError, match=words):
        test.run(aws, "shop")


def test_the_smoke_test_finds_items_seen_before(aws: Aws, sagemaker: FakeSageMaker, model_folder: Path) -> None:
    right = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 1)
    seen = sorted(test.seen["u0"])[0]

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = right(body)
        content["recommendations"][0]["items"][0]["item"] = seen
        return content

    sagemaker.answer = answer
    with pytest.raises(RemoteError, match=f"u0 gets items seen before: {seen}"):
        test.run(aws, "shop")
