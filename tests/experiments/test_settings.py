"""URIs of tracking servers."""

from __future__ import annotations

import pytest

from ncf.errors import InputError
from ncf.experiments import tracking
from ncf.experiments.settings import ExperimentSettings


@pytest.mark.parametrize("uri", ["http://mlflow:5000", "https://mlflow.example.com/team/", "https://[::1]:5000"])
def test_servers_are_accepted(uri: str) -> None:
    assert ExperimentSettings(mlflow_uri=uri).mlflow_uri == uri


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mlflow.example.com", "URI of an MLflow tracking server"),
        ("https://", "URI of an MLflow tracking server"),
        ("http://host:port", "URI of an MLflow tracking server"),
        ("https://a b", "URI of an MLflow tracking server"),
        ("sqlite:///mlflow.db", "URI of an MLflow tracking server"),
        ("databricks", "URI of an MLflow tracking server"),
        ("https://host/?a=1", "query or fragment"),
        ("https://host/#/experiments/1", "query or fragment"),
        ("https://me:secret@host", "MLFLOW_TRACKING_PASSWORD"),
        ("arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/one", "SageMaker.* not supported"),
    ],
)
def test_what_is_no_server_is_refused(uri: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ExperimentSettings(mlflow_uri=uri)


def test_an_image_without_the_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_is_installed", lambda: False)
    with pytest.raises(InputError, match="make images LAUNCHER_EXTRAS=mlflow"):
        tracking.check_client(ExperimentSettings(mlflow_uri="http://mlflow"))
    tracking.check_client(ExperimentSettings())
