"""Deployments of the tests of endpoints."""

from __future__ import annotations

from typing import Any

from fake_sagemaker import REGISTRY, ROLE, FakeSageMaker

from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
from ncf.sagemaker.hosting.settings import EndpointSettings

IMAGE = f"{REGISTRY}/ncf-deploy:1"


def plan(run: str = "run-1", model: str = "fingerprint", **settings: Any) -> EndpointPlan:
    chosen = EndpointSettings(role=ROLE, **{"deploy_image": IMAGE, "endpoint_name": "shop", **settings})
    return EndpointPlan(chosen, run, *names(chosen, run, model), model="s3://b/model")


def bring_up(aws: Aws, asked: EndpointPlan) -> str:
    return deploy(aws, asked, upload=lambda: None, check=lambda: "answers")


def fail() -> None:
    raise RemoteError("smoke test: wrong items")


def last_update(sagemaker: FakeSageMaker) -> dict[str, Any]:
    return [request for operation, request in sagemaker.calls if operation == "UpdateEndpoint"][-1]
