"""Resources of others that look like a run's own, or that may not be read: clean and rollback touch none of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from local_account import ROLE, local_account
from runs import PREFIX, deploy

from components.local.aws.errors import ApiError
from ncf.errors import InputError, RemoteError
from ncf.operators.clean import Clean
from ncf.operators.rollback import Rollback
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.stage import execution
from ncf.storage import list_objects


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def sagemaker(account: Any) -> Any:
    return boto3.client("sagemaker")


def put(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    return uri


def make_version(name: str, **tags: str) -> str:
    """A model and an endpoint config of somebody, as deploy makes them."""
    client = boto3.client("sagemaker")
    given = [{"Key": f"ncf:{key}", "Value": value} for key, value in tags.items()]
    data = {"S3DataType": "S3Prefix", "S3Uri": f"{PREFIX}/{name}/model/", "CompressionType": "None"}
    container = {"Image": "registry/ncf-deploy:1", "ModelDataSource": {"S3DataSource": data}}
    client.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=given)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=given)
    return name


def versions_of(name: str) -> list[bool]:
    client = boto3.client("sagemaker")
    found = (client.list_models(NameContains=name)["Models"], client.list_endpoint_configs(NameContains=name))
    return [bool(found[0]), bool(found[1]["EndpointConfigs"])]


def test_clean_deletes_nothing_of_another_namespace(account: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two teams name their runs by the date, and so have resources with one tag."""
    ours = make_version("ncf-ours-0123456789abcdef", run="2026-11-29", namespace="team-a")
    theirs = make_version("ncf-theirs-0123456789abcdef", run="2026-11-29", namespace="team-b")
    with pytest.raises(InputError, match=r"'namespace' is ''.*several namespaces \(team-a, team-b\)"):
        execution.run(Clean, ["--run", "2026-11-29", "--dry-run", "false"])
    assert versions_of(ours) == versions_of(theirs) == [True, True]
    execution.run(Clean, ["--run", "2026-11-29", "--namespace", "team-a", "--dry-run", "false"])
    assert (versions_of(ours), versions_of(theirs)) == ([False, False], [True, True])
    assert f"{theirs}  (its namespace is not 'team-a'): kept" in capsys.readouterr().out
    execution.run(Clean, ["--run", "2026-11-29", "--dry-run", "false"])
    assert versions_of(theirs) == [False, False]


@pytest.mark.parametrize("operation", ["DescribeEndpoint", "ListTags", "S3:GET"])
def test_what_clean_may_not_read_keeps_nothing_else(
    operation: str, account: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A config for an endpoint with another prefix, and a copy elsewhere in S3."""
    run = f"denied-{operation.lower().replace(':', '-')}"
    first = make_version("ncf-a-0123456789abcdef", run=run, endpoint="foreign")
    second = make_version("ncf-b-0123456789abcdef", run=run)
    error = "AccessDenied" if operation == "S3:GET" else "AccessDeniedException"
    copy = put(f"{PREFIX}/{first}/model/weights")
    account.faults.add("refuse", operation, error=error, times=20)
    try:
        execution.run(Clean, ["--run", run, "--dry-run", "false"])
    finally:
        account.faults.clear()
    if operation == "DescribeEndpoint":
        assert versions_of(first) == [True, True], "the endpoint may serve it"
    assert versions_of(second) == [operation == "S3:GET", False], "a copy is found by its model"
    if operation != "ListTags":
        assert "kept" in capsys.readouterr().out
        execution.run(Clean, ["--run", run, "--dry-run", "false"])
    assert versions_of(first) == versions_of(second) == [False, False]
    assert list_objects(copy) == []


def test_clean_names_a_copy_that_may_not_be_deleted_until_it_may(account: Any) -> None:
    version = make_version("ncf-c-0123456789abcdef", run="denied-deletion")
    copy = put(f"{PREFIX}/{version}/model/weights")
    account.faults.add("refuse", "S3:DELETE", error="AccessDenied", times=20)
    with pytest.raises(
        RemoteError, match=rf"still there: objects {PREFIX}/{version}: .*AccessDenied.*, model {version}"
    ):
        execution.run(Clean, ["--run", "denied-deletion", "--dry-run", "false"])
    account.faults.clear()
    execution.run(Clean, ["--run", "denied-deletion", "--dry-run", "false"])
    assert (versions_of(version), list_objects(copy)) == ([False, False], [])


def test_clean_keeps_an_endpoint_that_another_run_updates_meanwhile(
    tmp_path: Path, account: Any, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for the same update: the deployment of the other run begins its own first."""
    deploy(tmp_path, "ncf-waited", "run-w1", 1)
    settled, other = Endpoint.settled, []

    def wait(self: Endpoint, *given: Any, **more: Any) -> Any:
        if not other:
            other.append("")
            other[0] = deploy(tmp_path, "ncf-waited", "run-w2", 2)
        return settled(self, *given, **more)

    monkeypatch.setattr(Endpoint, "settled", wait)
    execution.run(Clean, ["--run", "run-w1", "--dry-run", "false"])
    described = sagemaker.describe_endpoint(EndpointName="ncf-waited")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", other[0])


def test_a_rollback_never_serves_what_others_have_named_like_its_versions(
    tmp_path: Path, account: Any, sagemaker: Any
) -> None:
    first = deploy(tmp_path, "ncf-named", "run-1", 1)
    make_version("ncf-named-0000000000000001", endpoint="ncf-named", namespace="team-b")
    make_version("ncf-named-0000000000000002")
    denied = make_version("ncf-named-0000000000000003", endpoint="ncf-named")
    deploy(tmp_path, "ncf-named", "run-2", 2)
    arn = sagemaker.describe_endpoint(EndpointName="ncf-named")["EndpointArn"]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["ncf:previous"])
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "ncf:namespace", "Value": "team-a"}])
    list_tags = account._api.tags.list_tags

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        if request["ResourceArn"].endswith(f"/{denied}"):
            raise ApiError("AccessDeniedException", "not authorized to perform: sagemaker:ListTags")
        return dict(list_tags(request))

    with patch.object(account._api.tags, "list_tags", refuse):
        execution.run(Rollback, ["ncf-named"])
    assert sagemaker.describe_endpoint(EndpointName="ncf-named")["EndpointConfigName"] == first
