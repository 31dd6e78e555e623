"""Smoke test: correct answers pass, and each kind of error is named."""

from __future__ import annotations

import http.client
import io
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody
from fake_sagemaker import FakeSageMaker, RefusalError
from random_model import random_model
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

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


class Breaking(io.RawIOBase):
    """A connection that breaks while the answer is read."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def read(self, *_: Any) -> bytes:
        if self._error:
            raise self._error
        return b""  # the server has closed the connection


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(None, "url", "Read timed out."),  # type: ignore[arg-type]
        ProtocolError("Connection broken: IncompleteRead(5 bytes read)"),
        SSLError("bad record mac"),
        http.client.IncompleteRead(b"{"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
        None,
    ],
    ids=repr,
)
def test_a_connection_that_breaks_in_the_answer_is_waited_out(
    error: Exception | None, aws: Aws, sagemaker: FakeSageMaker, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.answer, invoke, breaks = answer_of(model_folder), sagemaker.InvokeEndpoint, [error] * 3

    def break_first(**request: Any) -> dict[str, Any]:
        return {"Body": StreamingBody(Breaking(breaks.pop()), 100)} if breaks else invoke(**request)

    monkeypatch.setattr(sagemaker, "InvokeEndpoint", break_first)
    SmokeTest.of_model(model_folder, 3).run(aws, "shop")
    assert sagemaker.operations().count("InvokeEndpoint") == 4


def test_a_serverless_endpoint_that_is_not_ready_is_waited_for(
    aws: Aws, sagemaker: FakeSageMaker, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.answer, invoke, refusals = answer_of(model_folder), sagemaker.InvokeEndpoint, [1, 2]

    def refuse_first(**request: Any) -> dict[str, Any]:
        if refusals:
            refusals.pop()
            raise RefusalError("ModelNotReadyException", "resources are still being provisioned")
        return invoke(**request)

    monkeypatch.setattr(sagemaker, "InvokeEndpoint", refuse_first)
    SmokeTest.of_model(model_folder, 3).run(aws, "shop")
