"""Several production variants on an endpoint: weights, target variants, and the updates that AWS refuses."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import client, put_model, settle

from components.local.aws import LocalAws

ALL_AT_ONCE = {
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
}


def variants(aws: LocalAws, config: str, **models: float) -> str:
    """An endpoint config with a variant of each model, by name and weight."""
    described = []
    for model, weight in models.items():
        name = put_model(aws, f"{config}-{model}", model)
        described.append(
            {"VariantName": model, "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            | {"InitialVariantWeight": weight}
        )
    client(aws, "sagemaker").create_endpoint_config(EndpointConfigName=config, ProductionVariants=described)
    return config


def ask(aws: LocalAws, endpoint: str, **options: Any) -> tuple[str, str]:
    """The model that answers, and the variant that AWS names."""
    answer = client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body="1", **options)
    return json.loads(answer["Body"].read())["model"], answer["InvokedProductionVariant"]


def test_requests_go_by_weight_or_to_the_variant_that_they_name(aws: LocalAws) -> None:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_endpoint(EndpointName="two", EndpointConfigName=variants(aws, "two", blue=3.0, green=1.0))
    state = settle(sagemaker, "two")
    shown = {entry["VariantName"]: entry["CurrentWeight"] for entry in state["ProductionVariants"]}
    assert shown == {"blue": 3.0, "green": 1.0}
    assert Counter(ask(aws, "two") for _ in range(8)) == {("blue", "blue"): 6, ("green", "green"): 2}
    assert {ask(aws, "two", TargetVariant="green") for _ in range(4)} == {("green", "green")}
    with pytest.raises(ClientError, match="Variant red not found") as error:
        ask(aws, "two", TargetVariant="red")
    assert error.value.response["Error"]["Code"] == "ValidationError"
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="two",
        DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 0.0}],
    )
    assert {ask(aws, "two") for _ in range(4)} == {("green", "green")}
    with pytest.raises(ClientError, match="Could not find variant"):
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="two", DesiredWeightsAndCapacities=[{"VariantName": "red", "DesiredWeight": 1.0}]
        )


def test_guardrails_need_the_same_variants(aws: LocalAws) -> None:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_endpoint(EndpointName="one", EndpointConfigName=variants(aws, "one", blue=1.0))
    settle(sagemaker, "one")
    both = variants(aws, "both", blue=1.0, green=1.0)
    with pytest.raises(ClientError, match="must have the same variant names"):
        sagemaker.update_endpoint(EndpointName="one", EndpointConfigName=both, DeploymentConfig=ALL_AT_ONCE)
    sagemaker.update_endpoint(EndpointName="one", EndpointConfigName=both)
    assert len(settle(sagemaker, "one")["ProductionVariants"]) == 2
    assert ask(aws, "one", TargetVariant="green") == ("green", "green")


def test_names_are_unique(aws: LocalAws) -> None:
    variant = {"VariantName": "v", "ModelName": put_model(aws, "same", "blue")}
    variant |= {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match="unique names"):
        client(aws, "sagemaker").create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant, variant])
