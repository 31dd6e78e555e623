"""The register stage against an AWS account on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from local_account import BUCKET, executor_input, local_account
from random_model import random_model

from ncf.errors import InputError
from ncf.evaluation.gate import GateCondition, with_gate
from ncf.stage import execution
from ncf.stages.register import Register
from ncf.storage import list_objects, upload

PREFIX = f"s3://{BUCKET}/ncf"
REASON = "NDCG@10 on the whole catalogue is 0.1000, and 0.2000 of EASE"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def client(account: Any) -> Any:
    return boto3.client("sagemaker")


def arguments(folder: Path, passed: bool = True, **more: Any) -> list[str]:
    """Arguments of the stage, with inputs in a folder."""
    model = folder / "model"
    if not model.exists():
        dataset = {"counts": {"train": 48, "validation": 12, "test": 12}, "files": ["ratings.csv"]}
        source = {"fingerprint": "f" * 64, "training_job": "ncf-train-1", "commit": "abc", "dataset": dataset}
        random_model().save(model, {"model": "neumf", "tower": [16, 8]}, source)
    conditions = [GateCondition("NDCG@10 is high", True), GateCondition(REASON, passed)]
    content = with_gate({"full_ndcg_at_10": 0.1, "full_hr_at_10": 0.2, "details": {}}, conditions)
    (folder / "metrics.json").write_text(json.dumps(content))
    for name in ("report", "diff"):
        (folder / f"{name}.html").write_text(f"<p>{name}</p>")
    flags = {
        "model": model,
        "metrics": folder / "metrics.json",
        "report": folder / "report.html",
        "passed": passed,
        "deploy_image": "registry/ncf-deploy:1",
        "s3_prefix": PREFIX,
        "run_id": "run-1",
        **{name: folder / "out" / name for name in ("package", "release_now", "summary")},
        **more,
    }
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in flags.items()}
    return [part for name, text in texts.items() for part in (f"--{name.replace('_', '-')}", text)]


def outputs(folder: Path) -> tuple[str, bool, str]:
    package, release_now, summary = (
        (folder / "out" / name).read_text() for name in ("package", "release_now", "summary")
    )
    return package, json.loads(release_now), summary


def register(client: Any, folder: Path, group: str, **more: Any) -> tuple[dict[str, Any], bool, str]:
    """The package that the stage registers, whether it is released now, and the summary."""
    execution.run(Register, arguments(folder, registry_group=group, **more))
    package, release_now, summary = outputs(folder)
    return client.describe_model_package(ModelPackageName=package), release_now, summary


def test_a_model_that_passes_is_registered_once_and_released(tmp_path: Path, client: Any) -> None:
    described, release_now, summary = register(client, tmp_path, "passes", diff=tmp_path / "diff.html")
    assert (described["ModelApprovalStatus"], release_now) == ("Approved", True)
    properties = described["CustomerMetadataProperties"]
    assert properties["ncf:run"] == "run-1"
    assert properties["ncf:interactions"] == "72"
    assert properties["ncf:ndcg"] == "0.1000"
    assert properties["ncf:param:tower"] == "16 8"
    copies = list_objects(properties["ncf:report"].rpartition("/")[0])
    names = {uri.rpartition("/")[2] for uri in copies}
    assert {"metrics.json", "report.html", "diff.html", "manifest.json"} <= names, "copied, as nothing was in S3"
    assert properties["ncf:diff"].endswith("/diff.html")
    source = described["InferenceSpecification"]["Containers"][0]["ModelDataSource"]["S3DataSource"]
    assert f"{source['S3Uri']}manifest.json" in copies
    for words in ("passes version 1", "The gate is open", "deployed by this run", described["ModelPackageArn"]):
        assert words in summary
    again, *_ = register(client, tmp_path, "passes")
    assert again["ModelPackageArn"] == described["ModelPackageArn"]


def test_what_is_in_s3_is_registered_where_it_lies(tmp_path: Path, client: Any) -> None:
    flags = arguments(tmp_path, registry_group="in-s3", s3_prefix="")
    root = f"s3://{BUCKET}/root/run-2"
    uris = {"model": f"{root}/model", "metrics": f"{root}/metrics", "report": f"{root}/report"}
    for name, file in (("model", "model"), ("metrics", "metrics.json"), ("report", "report.html")):
        upload(tmp_path / file, uris[name])
    execution.run(Register, executor_input(Register, flags, tmp_path, uris))
    described = client.describe_model_package(ModelPackageName=outputs(tmp_path)[0])
    assert described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == uris["metrics"]
    assert described["CustomerMetadataProperties"]["ncf:report"] == uris["report"]
    assert "ncf:diff" not in described["CustomerMetadataProperties"]
    source = described["InferenceSpecification"]["Containers"][0]["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"] == f"{uris['model']}/"


def test_a_model_uri_is_read_by_its_manifest(tmp_path: Path, client: Any) -> None:
    uri = f"s3://{BUCKET}/root/{tmp_path.name}/model"
    flags = arguments(tmp_path, registry_group="by-uri", model_uri=uri)
    upload(tmp_path / "model", uri)
    del flags[:2]
    execution.run(Register, flags)
    described = client.describe_model_package(ModelPackageName=outputs(tmp_path)[0])
    assert described["CustomerMetadataProperties"]["ncf:fingerprint"] == "f" * 64


@pytest.mark.parametrize(
    ("release", "status", "words"),
    [
        ("on_approval", "PendingManualApproval", "`ncf approve waits-on_approval/1 --note 'REASON'`"),
        ("never", "PendingManualApproval", "is a record"),
    ],
)
def test_other_releases_wait(tmp_path: Path, client: Any, release: str, status: str, words: str) -> None:
    group = f"waits-{release}".replace("_", "-")
    described, release_now, summary = register(client, tmp_path, group, release=release)
    assert (described["ModelApprovalStatus"], release_now) == (status, False)
    assert described["CustomerMetadataProperties"]["ncf:release"] == release
    assert words.replace("on_approval/", "on-approval/") in summary


def test_a_closed_gate_registers_nothing_unless_asked(tmp_path: Path, client: Any) -> None:
    execution.run(Register, arguments(tmp_path, passed=False, registry_group="closed"))
    package, release_now, summary = outputs(tmp_path)
    assert (package, release_now) == ("", False)
    assert "No model is registered" in summary
    assert "NDCG@10 on the whole catalogue is 0.1000, and 0.2000 of EASE" in summary
    described, release_now, _ = register(client, tmp_path, "closed", passed=False, models="all")
    assert (described["ModelApprovalStatus"], release_now) == ("Rejected", False)
    gate = described["CustomerMetadataProperties"]["ncf:gate"]
    assert gate == "closed: NDCG@10 on the whole catalogue is 0.1000 and 0.2000 of EASE"
    assert described["ModelPackageDescription"].endswith(REASON)


def test_metrics_that_do_not_say_why_the_gate_is_closed(tmp_path: Path, account: Any) -> None:
    flags = arguments(tmp_path, passed=False, registry_group="unknown")
    (tmp_path / "metrics.json").write_text('{"gate_passed": 0}')
    execution.run(Register, flags)
    assert "the metrics of evaluate do not say why" in outputs(tmp_path)[2]


def test_no_model_is_registered_by_parameter(tmp_path: Path, client: Any) -> None:
    groups = client.list_model_package_groups(MaxResults=100)["ModelPackageGroupSummaryList"]
    execution.run(Register, arguments(tmp_path, models="none", registry_group="none"))
    assert outputs(tmp_path)[:2] == ("", True), "the run deploys it all the same"
    assert client.list_model_package_groups(MaxResults=100)["ModelPackageGroupSummaryList"] == groups


def test_a_serverless_endpoint_gets_an_archive(tmp_path: Path, client: Any) -> None:
    overrides = json.dumps({"serverless_memory": 2048, "network_isolation": False, "s3_prefix": f"{PREFIX}/less"})
    described, *_ = register(client, tmp_path, "serverless", deploy_overrides=overrides)
    (container,) = described["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"].startswith(f"{PREFIX}/less/")
    assert list_objects(container["ModelDataUrl"]) == [container["ModelDataUrl"]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"models": "none", "release": "on_approval"}, "no model is registered"),
        ({"registry_group": "a_b"}, "model package group"),
        ({"models": "some"}, "'passed', 'all' or 'none'"),
        ({"deploy_overrides": '{"serverless_memory": "x"}'}, "deploy_overrides"),
        ({"deploy_overrides": '{"serverless_memory": 2048}', "s3_prefix": ""}, "needs an archive of .model."),
        ({"run_id": "a,b"}, "run-id|run_id"),
        ({"model_uri": "s3://bucket/model"}, "one of them"),
        ({"s3_prefix": ""}, "parameter 's3_prefix' is empty: 'model' is at"),
    ],
)
def test_what_can_be_mended_is_named(tmp_path: Path, account: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        execution.run(Register, arguments(tmp_path, **more))


@pytest.mark.parametrize("text", ["", "[]", "no JSON"])
def test_metrics_that_are_none_are_named(tmp_path: Path, account: Any, text: str) -> None:
    flags = arguments(tmp_path)
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match="not the metrics of evaluate"):
        execution.run(Register, flags)
