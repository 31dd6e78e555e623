"""Parameters of tracking in MLflow."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from ncf.parameters import Parameters

_EXPECTED = "expected the URI of an MLflow tracking server, such as 'https://mlflow.example.com', or '' for none"
_MAX_NAME = 256


class ExperimentSettings(Parameters):
    """Parameters of tracking in MLflow."""

    mlflow_uri: str = Field(
        "",
        description="http:// or https:// URI of an MLflow tracking server that records the run; '': none. The image "
        "ncf-sagemaker needs the extra 'mlflow'",
    )
    mlflow_experiment: str = Field(
        "ncf", min_length=1, max_length=_MAX_NAME, description="MLflow experiment; it is created if it does not exist"
    )

    @model_validator(mode="after")
    def _is_server(self) -> Self:
        if self.mlflow_uri and (fault := _fault(self.mlflow_uri)):
            raise ValueError(f"parameter 'mlflow_uri': {fault}")  # without the value, which may contain a password
        return self


def _fault(uri: str) -> str:
    """Why a URI is not accepted; '' if it is."""
    if uri.startswith("arn:"):
        return f"tracking servers of SageMaker are not supported; {_EXPECTED}"
    try:
        parts = urlsplit(uri)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_server = False
    if not is_server or any(character.isspace() for character in uri):
        return _EXPECTED
    if "@" in parts.netloc:
        return (
            "KFP shows parameters, and so the password of a URI; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment of the pod"
        )
    if parts.query or parts.fragment:
        return f"a query or fragment is not accepted; {_EXPECTED}"
    return ""
