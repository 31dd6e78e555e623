"""What a package records of a model, within the bounds of AWS's service model."""

from __future__ import annotations

from typing import Any

import pytest
from fake_sagemaker import FakeSageMaker
from registrations import CONTENT, IMAGE, URIS, record

from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.registry.record import is_description_of
from ncf.sagemaker.registry.registration import check_record
from ncf.training.hyperparameters import Hyperparameters

REASON = "NDCG@10 on the whole catalogue is 0.1000, and 0.2000 of EASE (95 %: -0.12 to -0.08)"


def test_the_request_names_model_image_metrics_and_origin(aws: Aws, sagemaker: FakeSageMaker) -> None:
    request = check_record(aws, record())
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["Image"] == IMAGE
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == "s3://bucket/run/model/"
    assert request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == URIS["metrics"]
    assert request["MetadataProperties"] == {
        "CommitId": "abc123",
        "GeneratedBy": "run run-1, training job ncf-train-0123456789abcdef",
    }
    assert request["CustomerMetadataProperties"] == {
        "ncf:run": "run-1",
        "ncf:gate": "passed",
        "ncf:release": "at_once",
        "ncf:job": "ncf-train-0123456789abcdef",
        "ncf:fingerprint": "f" * 64,
        "ncf:model": record().properties()["ncf:sha256"][:12],
        "ncf:sha256": record().properties()["ncf:sha256"],
        "ncf:version": "1.0.0",
        "ncf:image": "registry/ncf-train:1",
        "ncf:users": "12",
        "ncf:items": "40",
        "ncf:interactions": "72",
        "ncf:ndcg": "0.1235",
        "ncf:hr": "0.2500",
        "ncf:report": URIS["report"],
        "ncf:diff": URIS["diff"],
        "ncf:param:model": "neumf",
        "ncf:param:factors": "8",
        "ncf:param:tower": "64 32",
        "ncf:param:seed": "1",
    }
    assert sagemaker.calls == []


@pytest.mark.parametrize(
    ("release", "closed_by", "status"),
    [
        ("at_once", "", "Approved"),
        ("on_approval", "", "PendingManualApproval"),
        ("never", "", "PendingManualApproval"),
        ("at_once", REASON, "Rejected"),
        ("on_approval", REASON, "Rejected"),
    ],
)
def test_the_status_follows_from_gate_and_release(release: str, closed_by: str, status: str) -> None:
    assert record(release=release, closed_by=closed_by).status == status


def test_a_closed_gate_is_recorded_with_its_reason(aws: Aws) -> None:
    request = check_record(aws, record(closed_by=REASON))
    assert request["ModelPackageDescription"] == f"run run-1; the gate is closed: {REASON}"
    gate = request["CustomerMetadataProperties"]["ncf:gate"]
    assert gate.startswith("closed: NDCG@10 on the whole catalogue is 0.1000 and 0.2000 of EASE 95 :")
    check_record(aws, record(closed_by=REASON * 50))


def test_an_archive_is_model_data_of_its_own(aws: Aws) -> None:
    request = check_record(aws, record(model="s3://bucket/run/model.tar.gz", is_archive=True))
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container == {"Image": IMAGE, "ModelDataUrl": "s3://bucket/run/model.tar.gz"}


def test_instances_that_run_the_image_are_named(aws: Aws) -> None:
    specification = check_record(aws, record())["InferenceSpecification"]
    hosting = set(specification["SupportedRealtimeInferenceInstanceTypes"])
    assert hosting >= {
        "ml.m5.large",
        "ml.g4dn.xlarge",
        "ml.g5.xlarge",
        "ml.c6in.large",
        "ml.p5.48xlarge",
        "ml.m7i.large",
    }
    assert not hosting & {"ml.c7g.large", "ml.m6gd.large", "ml.c6gn.large", "ml.inf2.xlarge", "ml.trn1.2xlarge"}
    assert not hosting & {"ml.r8g.large", "ml.dl1.24xlarge", "ml.p6e-gb200.36xlarge"}
    assert "ml.m5.large" in specification["SupportedTransformInstanceTypes"]
    assert "ml.trn1.2xlarge" not in specification["SupportedTransformInstanceTypes"]
    assert specification["SupportedContentTypes"] == ["application/json", "application/jsonlines", "text/csv"]


def test_all_hyperparameters_fit_beside_what_is_set_later() -> None:
    every = dict.fromkeys(Hyperparameters.model_fields, "x")
    assert len(every) > 20
    properties = record(content={**CONTENT, "parameters": every}).properties()
    assert {f"ncf:param:{name}" for name in every} <= properties.keys()
    many = {f"p{number}": "x" for number in range(99)}
    assert len(record(content={**CONTENT, "parameters": many}).properties()) == 50 - 5


def test_what_is_not_known_is_left_out(aws: Aws) -> None:
    content: dict[str, Any] = {**CONTENT, "source": {}, "counts": {}, "parameters": {}}
    request = check_record(aws, record(content=content, metrics={"full_ndcg_at_10": "?"}, uris={"metrics": "s3://b/m"}))
    assert set(request["CustomerMetadataProperties"]) == {
        "ncf:run", "ncf:gate", "ncf:release", "ncf:model", "ncf:sha256",
    }  # fmt: skip
    assert request["MetadataProperties"] == {"GeneratedBy": "run run-1"}


def test_a_uri_that_does_not_fit_is_left_out() -> None:
    for uri in ("s3://bucket/a,b", f"s3://bucket/{'x' * 256}"):
        assert "ncf:report" not in record(uris={**URIS, "report": uri}).properties()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"image": "x" * 300}, "parameter 'deploy_image'"),
        ({"model": f"s3://bucket/{'x' * 1024}"}, "parameter 's3_prefix'"),
        ({"uris": {"metrics": f"s3://bucket/{'x' * 1024}"}}, "parameter 's3_prefix'"),
    ],
)
def test_what_aws_would_refuse_is_named(aws: Aws, more: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_record(aws, record(**more))


def test_a_description_tells_runs_apart() -> None:
    for closed_by in ("", REASON):
        text = f"run a b; the gate is closed: {closed_by}" if closed_by else "run a b"
        assert is_description_of(text, "a  b")
        assert not is_description_of(text, "a")
        assert not is_description_of(text, "a b c")
