"""``ncf doctor``: each check names its finding and a remedy, and a failed check does not stop the next."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from doctor_output import examined, failure, lines_of
from fake_account import ACCOUNT, CALLER, DIGEST, REGISTRY, ROLE, Account, kfp

from ncf.errors import InputError, RemoteError
from ncf.operators.doctor import Doctor
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage import execution, parsing


def test_all_is_well(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "--train-role": ROLE,
        "--deploy-role": f"{ROLE}-hosting",
        "--bucket": "s3://runs/root",
        "--train-instance-count": "2",
        "--train-image": f"{REGISTRY}/team/ncf-train:1.0",
        "--deploy-image": f"{REGISTRY}/ncf-serve@{DIGEST}",
    }
    with kfp(lambda _: (200, "{}")) as (host, asked):
        execution.run(Doctor, [*(part for pair in given.items() for part in pair), "--kfp-host", f"{host}/"])
    assert asked == ["/apis/v2beta1/healthz"]
    output = capsys.readouterr().out
    assert output.splitlines()[0] == f"ok      credentials   {CALLER}"
    assert output.splitlines()[-1] == "all checks passed"
    lines = lines_of(output)
    first = ["credentials", "train role", "deploy role", "bucket"]
    assert list(lines) == [*first, "train image", "deploy image", "train quota", "deploy quota", "kfp"]
    assert {verdict for verdict, _ in lines.values()} == {"ok"}
    assert account.requests["get_role"] == [{"RoleName": "ncf"}, {"RoleName": "ncf-hosting"}]
    assert account.requests["head_bucket"] == [{"Bucket": "runs"}]
    tagged, digested = account.requests["describe_images"]
    assert tagged == {"registryId": ACCOUNT, "repositoryName": "team/ncf-train", "imageIds": [{"imageTag": "1.0"}]}
    assert digested["imageIds"] == [{"imageDigest": DIGEST}]
    assert [request.get("NextToken") for request in account.requests["list_service_quotas"]] == [None, "more"]


def test_only_what_is_asked_for_is_checked(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(examined(capsys, train_instance_type="", deploy_instance_count=0)) == ["credentials", "train role"]


def test_defaults_are_those_of_the_stages() -> None:
    fields = Doctor.model_fields
    assert fields["train_instance_type"].default == JobSettings.model_fields["instance_type"].default
    assert fields["deploy_instance_type"].default == EndpointSettings.model_fields["endpoint_instance_type"].default


def test_the_permissions_are_those_that_are_needed() -> None:
    prefixes = {"service-quotas": "servicequotas"}
    operations = {"head_bucket": "ListBucket"}
    needed = {
        f"{prefixes.get(service, service)}:{operations.get(name, ''.join(map(str.capitalize, name.split('_'))))}"
        for name, service in Account.SERVICES.items()
    }
    modules = [
        import_module(f"ncf.operators.checks.{name}") for name in ("account", "bucket", "image", "quota", "role")
    ]
    assert sorted(needed) == sorted(action for module in modules for action in module.CALLS)
    sources = "".join(inspect.getsource(module) for module in modules)
    assert [name for name in Account.SERVICES if f'"{name}"' not in sources] == []


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("--train-role", "", "parameter 'train_role' is '': expected the ARN of an IAM role"),
        ("--assume-role", "me", "parameter 'assume_role' is 'me': expected the ARN"),
        ("--pipeline-root", "minio://runs/r", "parameter 'pipeline_root' "),
        ("--pipeline-root", "s3://", "parameter 'pipeline_root' "),
        ("--namespace", "a b", "parameter 'namespace' "),
        ("--bucket", "gs://runs/root", "parameter 'bucket' .*expected the name of an S3 bucket"),
        ("--kfp-host", "localhost:8888", "parameter 'kfp_host' .*expected a URL"),
        ("--kfp-host", "file:///etc/passwd", "parameter 'kfp_host' .*expected a URL"),
        ("--train-instance-count", "-1", "parameter 'train_instance_count'"),
    ],
)
def test_impossible_values_are_named(argument: str, value: str, words: str) -> None:
    given = {"--train-role": ROLE, argument: value}
    with pytest.raises(InputError, match=words):
        parsing.parse(Doctor, [part for pair in given.items() for part in pair])


def test_without_credentials_the_rest_of_aws_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "*")
    with (
        kfp(lambda _: (200, "{}")) as (host, _),
        pytest.raises(RemoteError, match="1 of 6 checks failed: credentials"),
    ):
        Doctor(train_role=ROLE, bucket="runs", kfp_host=host).run()
    lines = lines_of(capsys.readouterr().out)
    assert lines.pop("kfp")[0] == "ok"
    verdict, finding = lines.pop("credentials")
    assert verdict == "FAILED"
    assert "no AWS credentials were found" in finding
    assert "aws sso login" in finding
    assert set(lines.values()) == {("skipped", "there are no valid credentials")}


def test_no_region(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: None) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(RemoteError, match="1 of 4"):
        Doctor(train_role=ROLE).run()
    assert "--region a region" in lines_of(capsys.readouterr().out)["credentials"][1]


@pytest.mark.parametrize(
    ("code", "settings", "words"),
    [
        ("InvalidClientTokenId", {}, "expired: 'aws configure' or 'aws sso login'"),
        ("AccessDenied", {"assume_role": ROLE}, f"name yourself in the trust policy of {ROLE}"),
    ],
)
def test_credentials_that_are_refused(
    account: Account, capsys: pytest.CaptureFixture[str], code: str, settings: dict[str, str], words: str
) -> None:
    account.refuse("get_caller_identity", code, "no")
    with pytest.raises(RemoteError, match="1 of 4 checks failed: credentials"):
        Doctor(train_role=ROLE, **settings).run()
    lines = lines_of(capsys.readouterr().out)
    assert words in lines["credentials"][1]
    assert lines["train role"][0] == "skipped"


def test_a_service_out_of_reach_fails_alone(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    unreachable = RemoteError("get_caller_identity: AWS cannot be reached: timeout")
    unreachable.__cause__ = EndpointConnectionError(endpoint_url="https://sts.amazonaws.com")
    account.answers["get_caller_identity"] = unreachable
    finding = failure(capsys, "credentials")
    assert "AWS cannot be reached" in finding
    assert "HTTPS_PROXY" in finding


@pytest.mark.parametrize(
    ("operation", "code", "check", "action", "by_hand"),
    [
        ("get_role", "AccessDenied", "train role", "iam:GetRole", "aws iam get-role --role-name ncf"),
        (
            "describe_images",
            "AccessDeniedException",
            "train image",
            "ecr:DescribeImages",
            f"aws ecr describe-images --registry-id {ACCOUNT} --repository-name ncf-train --image-ids imageTag=latest",
        ),
        (
            "list_service_quotas",
            "AccessDeniedException",
            "deploy quota",
            "servicequotas:ListServiceQuotas",
            "console.aws.amazon.com/servicequotas",
        ),
    ],
)
def test_what_may_not_be_looked_at_is_skipped(
    account: Account,
    capsys: pytest.CaptureFixture[str],
    operation: str,
    code: str,
    check: str,
    action: str,
    by_hand: str,
) -> None:
    account.refuse(operation, code, "not authorized")
    verdict, finding = examined(capsys, train_image=f"{REGISTRY}/ncf-train")[check]
    assert verdict == "skipped"
    assert finding.startswith(f"no permission for {action}; grant it, or check by hand: ")
    assert by_hand in finding


def test_several_failures_are_counted(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.refuse("get_role", "NoSuchEntity")
    account.refuse("head_bucket", "404")
    with pytest.raises(RemoteError, match="2 of 5 checks failed: train role, bucket"):
        Doctor(train_role=ROLE, bucket="runs").run()
