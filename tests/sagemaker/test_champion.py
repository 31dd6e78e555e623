"""The champion of a run: the endpoint's model, else the live package, else the latest approved one, never its own."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from model_packages import SOURCE, clients, endpoint_of_package, new_group, new_package, registry_account

from components.local.aws import LocalAws
from ncf.aws.session import Aws
from ncf.sagemaker.hosting.champion import ChampionModel, champion_model
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.registry.names import APPROVED, REJECTED
from ncf.sagemaker.registry.properties import RUN


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with registry_account(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def aws(local: LocalAws) -> Aws:
    return clients()


def package(aws: Aws, group: str, run: str, status: str = APPROVED) -> str:
    """A package whose model is named after its run."""
    source = {"S3DataSource": {**SOURCE["S3DataSource"], "S3Uri": f"s3://bucket/{run}/"}}
    containers = {"Containers": [{"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": source}]}
    return new_package(aws, group, status, InferenceSpecification=containers, CustomerMetadataProperties={RUN: run})


def found(aws: Aws, run: str = "now", **settings: str) -> ChampionModel:
    return champion_model(aws, ChampionSettings(**settings), run)


def test_the_latest_approved_one_before_any_is_live_then_the_live_one(local: LocalAws, aws: Aws) -> None:
    group = new_group(aws, "order")
    first = package(aws, group, "first")
    package(aws, group, "second")
    package(aws, group, "third", REJECTED)
    approved = found(aws, champion_group=group)
    assert (approved.uri, approved.name) == ("s3://bucket/second", "approved package order version 2")
    assert not approved.is_live
    endpoint_of_package(local, aws, "ncf-order", first)
    now = found(aws, champion_group=group)
    assert (now.uri, now.name) == ("s3://bucket/first", "live package order version 1")
    assert now.is_live


def test_a_run_s_own_package_is_no_champion(local: LocalAws, aws: Aws) -> None:
    group = new_group(aws, "own")
    former = package(aws, group, "former")
    endpoint_of_package(local, aws, "ncf-own", package(aws, group, "now"))
    assert found(aws, champion_group=group).uri == "s3://bucket/former"
    assert found(aws, "later", champion_group=group).uri == "s3://bucket/now"
    assert found(aws, "", champion_group=group).uri == "s3://bucket/now"
    boto3.client("sagemaker").delete_model_package(ModelPackageName=former)
    assert found(aws, champion_group=group).absence == (
        "No other version of the model package group own is live or approved."
    )


def test_the_endpoint_comes_first(local: LocalAws, aws: Aws) -> None:
    group = new_group(aws, "beside")
    package(aws, group, "other")
    endpoint_of_package(local, aws, "ncf-hosted", package(aws, new_group(aws, "hosted"), "before"))
    both = {"champion_endpoint": "ncf-hosted", "champion_group": group}
    hosted = found(aws, **both)
    assert (hosted.uri, hosted.name, hosted.is_live) == ("s3://bucket/before", "endpoint ncf-hosted", True)
    own = "run-of-ncf-hosted"
    assert found(aws, own, **both).uri == "s3://bucket/other", "it serves this run's own model"
    alone = found(aws, own, champion_endpoint="ncf-hosted")
    assert alone.absence == "Endpoint ncf-hosted serves this run's own model."
    assert found(aws, champion_endpoint="ncf-missing", champion_group=group).uri == "s3://bucket/other"


def test_all_reasons_are_given(aws: Aws) -> None:
    reason = found(aws, champion_endpoint="ncf-missing", champion_group="nobody").absence
    assert "There is no endpoint ncf-missing in us-east-1" in reason
    assert reason.endswith("No other version of the model package group nobody is live or approved.")


def test_a_package_without_a_model_in_s3_is_passed_over(aws: Aws) -> None:
    group = new_group(aws, "foreign")
    package(aws, group, "ours")
    containers = {"Containers": [{"Image": "r.example/other:1.0"}]}
    new_package(aws, group, APPROVED, InferenceSpecification=containers)
    assert found(aws, champion_group=group).uri == "s3://bucket/ours"
