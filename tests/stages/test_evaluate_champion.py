"""The evaluate stage beside a champion: a folder, an archive, an endpoint of an AWS account on this machine, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from evaluate_stage import make, run_stage, run_undrawn
from local_account import BUCKET, ROLE, local_account
from model_packages import clients, new_group, new_package

from ncf import storage
from ncf.artifacts.model_folder import ModelFolder
from ncf.errors import InputError, RemoteError
from ncf.evaluation import champion
from ncf.sagemaker.hosting import deployed_model
from ncf.stage import execution, parsing
from ncf.stages.deploy import Deploy
from ncf.stages.evaluate import Evaluate
from ncf.storage import upload

PREFIX = f"s3://{BUCKET}/champions"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champion, "MIN_COMPARABLE", 10)


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(("own", "others", "passed"), [(True, False, "true"), (False, True, "false")])
def test_a_folder(own: bool, others: bool, passed: str, tmp_path: Path) -> None:
    other, _ = make(tmp_path / "other", good=others)
    run = run_stage if own else run_undrawn
    result = run(tmp_path / "out", *make(tmp_path, good=own), "--champion", str(other))
    assert result["passed"] == passed
    gain = 1 if own else -1
    assert result["metrics"]["ndcg_at_10_gain_over_champion"] == gain
    assert result["metrics"]["champion_comparable"] == 40
    assert f"NDCG@10 on the whole catalogue differs from the champion's by {gain:+.4f}" in result["summary"]
    assert not own or "This model minus the champion" in result["report"], "in a chart, which one case draws"
    assert "The champion is model, version " in result["report"]
    assert "<h2>No list changes</h2>" in result["diff"], "they differ in test items alone, which users have had"
    assert "before: model (version " in result["diff"]
    assert f'<td>NDCG@10, whole catalogue</td><td class="figure">{others:.4f}</td>' in result["diff"]
    assert "Each item is in as many lists as before." in result["diff"]
    assert (result["metrics"]["list_overlap_at_10"], result["metrics"]["lists_unchanged"]) == (1, 1)


def test_the_allowed_loss(tmp_path: Path) -> None:
    other, _ = make(tmp_path / "other")
    arguments = ("--champion", str(other), "--max-loss-to-champion", "1", "--not-worse-than", "none")
    assert run_undrawn(tmp_path / "out", *make(tmp_path, good=False), *arguments)["passed"] == "true"


def test_without_a_champion_no_aws_is_asked(tmp_path: Path, no_aws: None) -> None:
    result = run_undrawn(tmp_path / "out", *make(tmp_path))
    assert "is set." in result["report"]
    assert "is set." in result["summary"]
    assert "There is no other model to compare with" in result["diff"]
    assert "is set." in result["diff"]
    assert not [name for name in result["metrics"] if name.startswith("list")]
    assert not [name for name in result["metrics"] if "champion" in name]


def test_an_endpoint_s_champion_needs_aws(tmp_path: Path, no_aws: None) -> None:
    with pytest.raises(InputError, match="region|credentials"):
        run_undrawn(tmp_path / "out", *make(tmp_path), "--champion-endpoint", "shop")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    for folder in (tmp_path / "absent", samples):
        with pytest.raises(InputError, match=f"parameter 'champion' is '{folder}': .*; expected a folder written by"):
            run_undrawn(tmp_path / "out", model, samples, "--champion", str(folder))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--champion", "a", "--champion-endpoint", "b"), "'champion' .a. and 'champion_endpoint' .b. both name"),
        (("--champion", "a", "--champion-group", "b"), "'champion' .a. and 'champion_group' .b. both name"),
        (("--champion-group", "a_b"), "'champion_group' is 'a_b': expected the name of a model package group"),
        (
            ("--champion-endpoint", "not/a/name"),
            "'champion_endpoint' is 'not/a/name': expected 1 to 63 lowercase letters",
        ),
        (("--max-loss-to-champion", "-0.1"), "'max_loss_to_champion' is -0.1: input should be greater"),
        (("--max-loss-to-champion", "much"), "'max_loss_to_champion' is 'much': expected a number"),
    ],
)
def test_bad_values_are_named(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsing.parse(Evaluate, ["--model", "m", "--samples", "s", *arguments])


def test_too_few_comparable_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champion, "MIN_COMPARABLE", 100)
    other, _ = make(tmp_path / "other", seed=1)
    arguments = ("--champion", str(other), "--not-worse-than", "none")
    result = run_undrawn(tmp_path / "out", *make(tmp_path, good=False), *arguments)
    assert result["passed"] == "true"  # though it is far worse
    for text in (result["summary"], result["diff"]):
        assert "Only 38 of 40 test positives can be compared" in text
    assert re.search(r"The lists of \d\d of 40 users change", result["diff"]), "lists are compared without test items"


def deploy(folder: Path, model: Path, endpoint: str, *more: str) -> None:
    flags = {
        "model": model,
        "role": ROLE,
        "deploy-image": "registry/ncf-deploy:1",
        "s3-prefix": PREFIX,
        "endpoint-name": endpoint,
        "endpoint": folder / "endpoint",
        "target": folder / "target",
        "summary": folder / "deployed.md",
        "metrics": folder / "deployed.json",
    }
    execution.run(Deploy, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])


@pytest.mark.parametrize("serverless", [False, True])
def test_what_an_endpoint_hosts(serverless: bool, tmp_path: Path, account: Any) -> None:
    other, _ = make(tmp_path / "other")
    name = f"hosted-{serverless}".lower()
    more = ("--serverless-memory", "2048", "--network-isolation", "false") if serverless else ()
    deploy(tmp_path, other, name, *more)
    model, samples = make(tmp_path, good=False)
    result = run_undrawn(tmp_path / "out", model, samples, "--champion-endpoint", name)
    assert result["passed"] == "false"
    assert f"The champion is endpoint {name}, version {ModelFolder.load(other).version}" in result["report"]


def test_an_endpoint_that_is_not_there(tmp_path: Path, account: Any) -> None:
    result = run_undrawn(tmp_path / "out", *make(tmp_path), "--champion-endpoint", "nowhere")
    assert result["passed"] == "true"
    assert "There is no endpoint nowhere in us-east-1" in result["report"]
    assert "There is no endpoint nowhere" in result["summary"]


def packaged(uri: str, group: str, status: str = "Approved") -> None:
    source = {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": {"S3DataSource": source}}
    new_package(clients(), group, status, InferenceSpecification={"Containers": [container]})


def test_the_latest_approved_package(tmp_path: Path, account: Any) -> None:
    """Also one whose model was deleted: it is not live, so that it must not block a run."""
    other, _ = make(tmp_path / "other")
    upload(other, f"{PREFIX}/approved")
    group = new_group(clients(), "approved")
    packaged(f"{PREFIX}/approved", group)
    model, samples = make(tmp_path, good=False)
    arguments = (model, samples, "--champion-group", group, "--champion-endpoint", "nowhere", "--run-id", "run-1")
    arguments += ("--not-worse-than", "none")
    result = run_undrawn(tmp_path / "out", *arguments)
    assert result["passed"] == "false"
    assert "The champion is approved package approved version 1, version " in result["report"]
    assert "before: approved package approved version 1 (version " in result["diff"]
    packaged(f"{PREFIX}/deleted", group)
    result = run_undrawn(tmp_path / "again", *arguments)
    assert result["passed"] == "true"
    assert "The model of approved package approved version 2 cannot be read: " in result["diff"]


def test_an_endpoint_that_hosts_something_else(tmp_path: Path, account: Any) -> None:
    other, _ = make(tmp_path / "other")
    deploy(tmp_path, other, "strange")
    client = boto3.client("sagemaker")
    version = client.describe_endpoint(EndpointName="strange")["EndpointConfigName"]
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"champions/{version}/model/config.json", Body=b"{}")
    result = run_undrawn(tmp_path / "out", *make(tmp_path), "--champion-endpoint", "strange")
    assert result["passed"] == "true"
    assert "The model of endpoint strange cannot be compared" in result["report"]
    assert "config.json" in result["summary"]


def test_a_model_that_may_not_be_read_is_an_error(tmp_path: Path, account: Any) -> None:
    other, _ = make(tmp_path / "other")
    deploy(tmp_path, other, "emptied")
    version = boto3.client("sagemaker").describe_endpoint(EndpointName="emptied")["EndpointConfigName"]
    storage.delete_objects(f"{PREFIX}/{version}/model")
    with pytest.raises(InputError, match=f"{version}/model.*: no such object"):
        run_undrawn(tmp_path / "out", *make(tmp_path), "--champion-endpoint", "emptied")


def test_an_archive_that_is_none(tmp_path: Path, account: Any) -> None:
    (tmp_path / "x").write_bytes(b"no archive")
    upload(tmp_path / "x", f"{PREFIX}/x.tar.gz")
    with (
        pytest.raises(InputError, match=r"x\.tar\.gz: cannot be unpacked"),
        deployed_model.local_model(f"{PREFIX}/x.tar.gz"),
    ):
        pass


class Answers:
    """An AWS that gives the answers that it is given."""

    region = "eu-west-1"

    def __init__(self, **answers: dict[str, Any]) -> None:
        self.answers = answers

    def find(self, _service: str, operation: str, **_request: Any) -> dict[str, Any]:
        return self.answers[operation]


@pytest.mark.parametrize(
    ("status", "variant", "model", "absence"),
    [
        ("Failed", {"ModelName": "m"}, {}, "is Failed and serves no model"),
        ("Creating", {"ModelName": "m"}, {}, "is Creating and serves no model"),
        ("InService", {}, {}, "serves no model from S3"),
        ("InService", {"ModelName": "m"}, {"PrimaryContainer": {"Image": "x"}}, "serves no model from S3"),
        ("Updating", {"ModelName": "m"}, {"PrimaryContainer": {"ModelDataUrl": "s3://b/m.tar.gz"}}, ""),
    ],
)
def test_endpoints_of_other_kinds(status: str, variant: Any, model: Any, absence: str) -> None:
    aws: Any = Answers(
        describe_endpoint={"EndpointStatus": status, "EndpointConfigName": "c"},
        describe_endpoint_config={"ProductionVariants": [variant]},
        describe_model=model,
    )
    found = deployed_model.deployed_model(aws, "shop")
    assert absence in found.absence
    assert bool(found.absence) is bool(absence)
    assert found.uri == ("" if absence else "s3://b/m.tar.gz")


def test_aws_that_refuses_is_an_error(tmp_path: Path, account: Any) -> None:
    account.faults.add("refuse", "DescribeEndpoint", error="AccessDeniedException", times=1)
    with pytest.raises(RemoteError, match="AccessDenied"):
        run_undrawn(tmp_path / "out", *make(tmp_path), "--champion-endpoint", "shop")
