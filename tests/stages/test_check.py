"""The first stage of a pipeline: it refuses parameters that would fail the run later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from local_account import BUCKET, ROLE, executor_input, local_account

from ncf import storage
from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.settings import AwsSettings
from ncf.stage.execution import run
from ncf.stages.check import Check
from ncf.stages.deploy import Deploy
from ncf.stages.train import Train

S3_ROOT, MINIO = f"s3://{BUCKET}/root/ncf/1/check", "minio://mlpipeline/v2/artifacts/ncf/1/check"


@pytest.fixture(scope="module", autouse=True)
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


def check(folder: Path, root: str = S3_ROOT, **given: Any) -> str:
    """Run the stage as a pod whose outputs go to a pipeline root; what it has written."""
    values = {
        "train_role": ROLE,
        "deploy_role": ROLE,
        "train_image": "registry/ncf-train:1",
        "deploy_image": "registry/ncf-deploy:1",
        **given,
    }
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    flags = [f"--{name}={text}" for name, text in texts.items()]
    summary = folder / "summary"
    run(Check, executor_input(Check, [*flags, f"--summary={summary}"], folder, {"summary": f"{root}/summary"}))
    return summary.read_text()


def test_all_is_given(tmp_path: Path) -> None:
    said = check(
        tmp_path, train_overrides={"instance_count": 2}, deploy_overrides={"endpoint_instance_type": "ml.c6i.large"}
    )
    assert "- train: 2 x ml.g5.xlarge, `registry/ncf-train:1`\n" in said
    assert "- AWS is called by arn:aws:" in said
    assert "- register: passed, in ncf; release: at_once" in said
    assert "- deploy: ml.c6i.large" in said


def test_an_image_without_the_client_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.experiments.tracking._is_installed", lambda: False)
    assert "All checks passed" in check(tmp_path)
    with pytest.raises(InputError, match="mlflow_uri: 'https://mlflow' is given, but this image has no mlflow-skinny"):
        check(tmp_path, mlflow_uri="https://mlflow")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train_role": "ncf"}, "the stage train would refuse this: parameter 'train_role' is 'ncf': expected the ARN"),
        (
            {"deploy_role": "ncf"},
            "the stage deploy would refuse this: parameter 'deploy_role' is 'ncf': expected the ARN",
        ),
        ({"train_overrides": {"epoch": 3}}, "'train_overrides' has 'epoch'.*did you mean epochs"),
        ({"train_overrides": {"dropout": 2}}, "'train_overrides': 'dropout' is 2"),
        (
            {"data_event_weights": {"view": -1}},
            "the stage preprocess would refuse this: parameter 'data_event_weights' is .*: the weight of 'view' is -1",
        ),
        ({"data_event_weights": {"view": 0}}, "'data_event_weights' is .*: all weights are 0"),
        (
            {"data_event_weights": {"view": 1}, "data_event_column": "none"},
            "'data_event_weights' is .* event_column is 'none'",
        ),
        ({"data_since": "soon"}, "'data_since' is 'soon': expected an ISO date"),
        ({"data_days": -1}, "'data_days' is -1: .* greater than or equal to 0"),
        ({"train_epochs": 0}, "'train_epochs' is 0"),
        ({"train_model": "svd"}, "'train_model' is 'svd'"),
        ({"train_overrides": {"spot_instance": True}}, "'max_wait_time' is 0: with 'spot_instance'"),
        (
            {"train_overrides": {"warm_start": "champion"}, "data_forgotten_uri": f"s3://{BUCKET}/forgotten"},
            "'warm_start' is 'champion', and 'data_forgotten_uri' is set: the live model may know the users",
        ),
        ({"train_overrides": {"pretrain": True, "model": "gmf"}}, "'pretrain' is true, but 'model' is 'gmf'"),
        ({"deploy_overrides": {"serverless_memory": 2048}}, "'network_isolation' is True: a serverless endpoint"),
        (
            {"deploy_overrides": {"deploy_image": "x:1"}},
            "a package names the image of its endpoint; give the parameter",
        ),
        ({"registry_group": "a_b"}, "the stage register would refuse this: parameter 'registry_group' is 'a_b'"),
        ({"models": "none", "release": "on_approval"}, "no model is registered"),
        ({"release": "soon"}, "parameter 'release' is 'soon': Input should be 'at_once', 'on_approval' or 'never'"),
        ({"mlflow_uri": "mlflow"}, "'mlflow_uri': expected the URI of an MLflow tracking server"),
        ({"deploy_endpoint_name": "my shop"}, "'deploy_endpoint_name' is 'my shop'"),
        ({"deploy_instance_type": "large"}, "'deploy_instance_type' is 'large'"),
        ({"region": "nowhere"}, "'region' is 'nowhere'"),
        ({"s3_prefix": "bucket/x"}, "'s3_prefix' is 'bucket/x'"),
        ({"notify": "me@example.org"}, "'notify': expected the ARN of an SNS topic"),
    ],
)
def test_what_a_later_stage_would_refuse_is_named(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        check(tmp_path, **given)
    assert not (tmp_path / "summary").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train_instance_type": "ml.g5.xxlarge"}, "'train_instance_type' is 'ml.g5.xxlarge': AWS accepts one of"),
        ({"deploy_instance_type": "ml.m5.little"}, "'deploy_instance_type' is 'ml.m5.little': AWS accepts one of"),
        ({"train_overrides": {"output_encryption_key": "my key"}}, "'output_encryption_key' is 'my key': AWS accepts"),
        ({"deploy_overrides": {"alarms": "x" * 256}}, "'alarms' is 'x+'?.*: AWS accepts at most 255 characters"),
        (
            {"deploy_overrides": {"data_capture_s3_uri": "s3://b/" + "x" * 512}},
            "'data_capture_s3_uri' is .* at most 512",
        ),
    ],
)
def test_what_aws_would_refuse_is_named_before_any_call(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^parameter {said}"):
        check(tmp_path, **given)


def test_settings_that_hold_only_together_are_looked_at_together(tmp_path: Path) -> None:
    spot = {"spot_instance": True, "max_wait_time": 900}
    check(tmp_path, train_max_run_time=600, train_overrides=spot)
    with pytest.raises(InputError, match="'max_wait_time' is 900"):
        check(tmp_path, train_max_run_time=1000, train_overrides=spot)


def test_a_root_that_sagemaker_cannot_reach_is_said(tmp_path: Path) -> None:
    """KFP's default root is MinIO; without a prefix train would fail, minutes later."""
    with pytest.raises(InputError, match=rf"'s3_prefix' is empty.*{MINIO}/summary.*an s3:// URI to copy"):
        check(tmp_path, MINIO)
    with pytest.raises(InputError, match="s3://no-such-bucket: there is no bucket 'no-such-bucket'"):
        check(tmp_path, MINIO, s3_prefix="s3://no-such-bucket/ncf")
    check(tmp_path, MINIO, s3_prefix=f"s3://{BUCKET}/ncf")
    both = {"s3_prefix": f"s3://{BUCKET}/ncf"}
    check(tmp_path, MINIO, train_overrides=both, deploy_overrides=both)


def test_a_region_that_nobody_names_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(InputError, match="parameter 'region' is empty, and so is the environment variable AWS_REGION"):
        check(tmp_path)
    check(tmp_path, region="eu-west-1")
    there = {"region": "eu-west-1"}
    check(tmp_path, train_overrides=there, deploy_overrides=there)


def test_credentials_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InputError, match="no AWS credentials were found: annotate the pod's service account"):
        check(tmp_path)


def test_amazon_s_sagemaker_pulls_from_ecr_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(InputError, match=r"'deploy_image' is 'docker.io/x:1': SageMaker pulls images from ECR only"):
        check(
            tmp_path,
            train_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/ncf-train:1",
            deploy_image="docker.io/x:1",
        )


def test_deploy_checks_the_image_before_it_reads_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(InputError, match=r"'deploy_image' is 'docker.io/x:1': SageMaker pulls images from ECR only"):
        Deploy(model="gone", role=ROLE, deploy_image="docker.io/x:1").run()


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1", True), ("docker.io/x:1", False), ("x", False)],
)
def test_another_service_than_amazon_s_has_rules_of_its_own(
    name: str, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Aws(AwsSettings(role=ROLE)).check_image("train_image", name)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with nullcontext() if accepted else pytest.raises(InputError, match="pulls images from ECR only"):
        Aws(AwsSettings(role=ROLE)).check_image("train_image", name)


def test_an_image_that_ecr_does_not_have_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ncf-deploy:1"
    call = Aws.call

    def without_images(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> Any:
        if operation == "describe_images":
            raise RefusedError(operation, "ImageNotFoundException", "there is none")
        return call(self, service, operation, *given, **request)

    monkeypatch.setattr(Aws, "call", without_images)
    with pytest.raises(InputError, match="'deploy_image' is '.*': ECR has no such image"):
        check(tmp_path, deploy_image=image)
    check(tmp_path, deploy_image=image, models="none")


@pytest.mark.parametrize(("stage", "parameter"), [(Train, "train_overrides"), (Deploy, "deploy_overrides")])
def test_s3_is_called_in_the_region_of_the_overrides(stage: Any, parameter: str) -> None:
    values = {name: "any" for name, field in stage.model_fields.items() if field.is_required()}
    made = stage(
        **{"model": "any", "deploy_image": "any", **values, "role": ROLE, parameter: {"region": "eu-central-1"}}
        if stage is Deploy
        else {**values, "role": ROLE, parameter: {"region": "eu-central-1"}}
    )
    assert made.s3_region() == "eu-central-1"


def test_the_first_region_is_train_s(tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ncf.sagemaker.staging.check_bucket", lambda _: seen.append(storage._client().meta.region_name))
        check(tmp_path, MINIO, s3_prefix=f"s3://{BUCKET}/ncf", train_overrides={"region": "eu-central-1"})
    assert seen[0] == "eu-central-1"
