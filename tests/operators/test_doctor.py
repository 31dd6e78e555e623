"""Each check says what is wrong and what to do about it, and none stops the next."""

from __future__ import annotations

import inspect
import json
import re
import threading
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import EndpointConnectionError
from fake_account import (
    ACCOUNT,
    CALLER,
    DIGEST,
    LOGIN_PAGE,
    OTHER_ACCOUNT,
    REGION,
    REGISTRY,
    ROLE,
    TRUST,
    Account,
    kfp,
    role_with,
)

from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.operators import checks, kfp_check
from ncf.operators.checks import CALLS
from ncf.operators.doctor import Doctor
from ncf.sagemaker.settings import EndpointSettings, JobSettings
from ncf.stage import command


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> Account:
    """Where the doctor looks instead of AWS; the fixture `aws` sets credentials and a region."""
    made = Account()
    monkeypatch.setattr(checks, "Aws", made.open)
    monkeypatch.setenv("NO_PROXY", "*")
    return made


def lines_of(output: str) -> dict[str, tuple[str, str]]:
    """Verdict and finding of each check."""
    lines = [line for line in output.splitlines() if not line.startswith("all is well")]
    return {line[8:22].strip(): (line[:8].strip(), line[22:]) for line in lines}


def examined(capsys: pytest.CaptureFixture[str], **settings: Any) -> dict[str, tuple[str, str]]:
    """What is found where all is well, or nothing is known of some."""
    Doctor(**{"role": ROLE, **settings}).run()
    output = capsys.readouterr().out
    assert "all is well" in output.splitlines()[-1]
    return lines_of(output)


def failure(capsys: pytest.CaptureFixture[str], check: str, **settings: Any) -> str:
    """What is said of the one check that fails, while all others are well."""
    with pytest.raises(RemoteError, match=rf"^1 of \d checks failed: {check}$"):
        Doctor(**{"role": ROLE, **settings}).run()
    lines = lines_of(capsys.readouterr().out)
    assert {name for name, (verdict, _) in lines.items() if verdict != "ok"} == {check}
    assert lines[check][0] == "FAILED"
    return lines[check][1]


def test_all_is_well(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp(lambda _: (200, "{}")) as (host, asked):
        command.run(
            Doctor,
            [
                *("--role", ROLE, "--bucket", "s3://runs/root", "--instance-count", "2", "--kfp-host", f"{host}/"),
                *(
                    "--train-image",
                    f"{REGISTRY}/team/ncf-train:1.0",
                    "--deploy-image",
                    f"{REGISTRY}/ncf-serve@{DIGEST}",
                ),
            ],
        )
    assert asked == ["/apis/v2beta1/healthz"]
    output = capsys.readouterr().out
    assert output.splitlines()[0] == f"ok      credentials   {CALLER}"
    assert output.splitlines()[-1] == "all is well"
    lines = lines_of(output)
    names = ["credentials", "role", "bucket", "train image", "deploy image", "train quota", "deploy quota", "kfp"]
    assert list(lines) == names
    assert {verdict for verdict, _ in lines.values()} == {"ok"}
    assert account.requests["get_role"] == [{"RoleName": "ncf"}]
    assert account.requests["head_bucket"] == [{"Bucket": "runs"}]
    tagged, digested = account.requests["describe_images"]
    assert tagged == {"registryId": ACCOUNT, "repositoryName": "team/ncf-train", "imageIds": [{"imageTag": "1.0"}]}
    assert digested["imageIds"] == [{"imageDigest": DIGEST}]
    assert [request.get("NextToken") for request in account.requests["list_service_quotas"]] == [None, "more"]


def test_only_what_is_asked_for_is_checked(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(examined(capsys, instance_type="", initial_instance_count=0)) == ["credentials", "role"]


def test_defaults_are_those_of_the_stages() -> None:
    fields = Doctor.model_fields
    assert fields["instance_type"].default == JobSettings.model_fields["instance_type"].default
    assert fields["endpoint_instance_type"].default == EndpointSettings.model_fields["endpoint_instance_type"].default


def test_the_permissions_are_those_that_are_needed() -> None:
    prefixes = {"service-quotas": "servicequotas"}
    operations = {"head_bucket": "ListBucket"}
    needed = {
        f"{prefixes.get(service, service)}:{operations.get(name, ''.join(map(str.capitalize, name.split('_'))))}"
        for name, service in Account.SERVICES.items()
    }
    assert tuple(sorted(needed)) == CALLS
    assert all(f'"{name}"' in inspect.getsource(checks) for name in Account.SERVICES)


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("--role", "", "parameter 'role' is '': expected the ARN of an IAM role"),
        ("--assume-role", "me", "parameter 'assume_role' is 'me': expected the ARN"),
        ("--bucket", "gs://runs/root", "parameter 'bucket' .*expected the name of an S3 bucket"),
        ("--kfp-host", "localhost:8888", "parameter 'kfp_host' .*expected a URL"),
        ("--kfp-host", "file:///etc/passwd", "parameter 'kfp_host' .*expected a URL"),
        ("--instance-count", "-1", "parameter 'instance_count'"),
    ],
)
def test_impossible_values_are_named(argument: str, value: str, words: str) -> None:
    given = {"--role": ROLE, argument: value}
    with pytest.raises(InputError, match=words):
        command.parse(Doctor, [part for pair in given.items() for part in pair])


def test_without_credentials_the_rest_of_aws_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str], aws: Aws
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
        Doctor(role=ROLE, bucket="runs", kfp_host=host).run()
    lines = lines_of(capsys.readouterr().out)
    assert lines.pop("kfp")[0] == "ok"
    verdict, finding = lines.pop("credentials")
    assert verdict == "FAILED"
    assert "no AWS credentials were found" in finding
    assert "aws sso login" in finding
    assert set(lines.values()) == {("skipped", "there are no credentials that work")}


def test_no_region(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], aws: Aws) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(RemoteError, match="1 of 4"):
        Doctor(role=ROLE).run()
    assert "--region names the region" in lines_of(capsys.readouterr().out)["credentials"][1]


@pytest.mark.parametrize(
    ("code", "settings", "words"),
    [
        ("InvalidClientTokenId", {}, "expired: 'aws configure' or 'aws sso login'"),
        ("AccessDenied", {"assume_role": ROLE}, f"let the trust policy of {ROLE} name you"),
    ],
)
def test_credentials_that_are_refused(
    account: Account, capsys: pytest.CaptureFixture[str], code: str, settings: dict[str, str], words: str
) -> None:
    account.refuse("get_caller_identity", code, "no")
    with pytest.raises(RemoteError, match="1 of 4 checks failed: credentials"):
        Doctor(role=ROLE, **settings).run()
    lines = lines_of(capsys.readouterr().out)
    assert words in lines["credentials"][1]
    assert lines["role"][0] == "skipped"


def test_a_service_out_of_reach_fails_alone(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    unreachable = RemoteError("get_caller_identity: AWS cannot be reached: timeout")
    unreachable.__cause__ = EndpointConnectionError(endpoint_url="https://sts.amazonaws.com")
    account.answers["get_caller_identity"] = unreachable
    finding = failure(capsys, "credentials")
    assert "AWS cannot be reached" in finding
    assert "HTTPS_PROXY" in finding


def test_s3_is_used_without_the_assumed_role(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    other = f"arn:aws:iam::{ACCOUNT}:role/other"
    examined(capsys, assume_role=other, bucket="runs", region=REGION)
    assert [(access.region, access.assume_role) for access in account.accesses] == [(REGION, other), (REGION, "")]
    account.refuse("head_bucket", "403")
    assert "to your own identity" in failure(capsys, "bucket", assume_role=other, bucket="runs")


@pytest.mark.parametrize(
    "policy",
    [
        {"Statement": TRUST},
        {"Statement": [{**TRUST, "Principal": {"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}}]},
        {"Statement": [{**TRUST, "Action": ["sts:TagSession", "sts:*"]}]},
        quote(json.dumps({"Statement": [TRUST]})),
    ],
)
def test_trust_may_be_written_in_many_ways(account: Account, capsys: pytest.CaptureFixture[str], policy: Any) -> None:
    account.answers["get_role"] = role_with(policy)
    assert examined(capsys)["role"][0] == "ok"


def test_the_policy_as_botocore_decodes_it() -> None:
    assert checks._trusts_sagemaker({"Statement": [TRUST]})
    assert not checks._trusts_sagemaker({})


@pytest.mark.parametrize(
    "statement",
    [
        {**TRUST, "Principal": {"Service": "lambda.amazonaws.com"}},
        {**TRUST, "Principal": {"AWS": "*"}},
        {**TRUST, "Principal": "*"},
        {**TRUST, "Action": "sts:TagSession"},
        {**TRUST, "Effect": "Deny"},
    ],
)
def test_a_role_that_sagemaker_may_not_take(
    account: Account, capsys: pytest.CaptureFixture[str], statement: dict[str, Any]
) -> None:
    account.answers["get_role"] = role_with({"Statement": [statement]})
    finding = failure(capsys, "role")
    assert "does not let SageMaker work as it" in finding
    assert "aws iam update-assume-role-policy --role-name ncf" in finding


def test_a_role_that_is_not_there(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.refuse("get_role", "NoSuchEntity")
    assert "there is no such role; 'aws iam list-roles'" in failure(capsys, "role")


def test_a_role_of_another_account(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    finding = failure(capsys, "role", role=f"arn:aws:iam::{OTHER_ACCOUNT}:role/ncf")
    assert ACCOUNT in finding
    assert OTHER_ACCOUNT in finding
    assert "get_role" not in account.requests


@pytest.mark.parametrize(
    ("code", "region", "words"),
    [
        ("404", "", "there is no such bucket; 'aws s3 mb s3://runs --region us-east-1' makes it"),
        ("403", REGION, f"access is refused; allow s3:ListBucket on arn:aws:s3:::runs to {CALLER}"),
        ("403", "eu-west-1", "it is in eu-west-1, but SageMaker is called in us-east-1"),
        ("301", "eu-west-1", "give --region eu-west-1, or a bucket in us-east-1"),
        ("301", "", "it is in another region"),
        ("400", "", "AWS refused head_bucket: 400"),
    ],
)
def test_buckets_that_cannot_be_used(
    account: Account, capsys: pytest.CaptureFixture[str], code: str, region: str, words: str
) -> None:
    account.refuse("head_bucket", code, region=region)
    assert words in failure(capsys, "bucket", bucket="s3://runs/root")


def test_a_bucket_in_another_region(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.answers["head_bucket"] = {"BucketRegion": "eu-west-1"}
    assert "s3://runs: it is in eu-west-1" in failure(capsys, "bucket", bucket="runs")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "RepositoryNotFoundException",
            "aws ecr create-repository --repository-name team/ncf-train --region us-east-1",
        ),
        ("ImageNotFoundException", f"'make images push REGISTRY={REGISTRY}/team TAG=1.0' puts it there"),
        ("InvalidParameterException", "to see for yourself: 'aws ecr describe-images"),
    ],
)
def test_images_that_are_not_there(account: Account, capsys: pytest.CaptureFixture[str], code: str, words: str) -> None:
    account.refuse("describe_images", code)
    assert words in failure(capsys, "train image", train_image=f"{REGISTRY}/team/ncf-train:1.0")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("ncf-serve:latest", f"is not in ECR.*REGISTRY={REGISTRY}' puts ours there"),
        (
            f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/ncf-serve:1.0",
            f"is in eu-west-1.*'make images push REGISTRY={REGISTRY} TAG=1.0' puts it there, or give --region eu-west-1",
        ),
    ],
)
def test_images_where_sagemaker_does_not_look(
    account: Account, capsys: pytest.CaptureFixture[str], image: str, words: str
) -> None:
    assert re.search(words, failure(capsys, "deploy image", deploy_image=image))
    assert "describe_images" not in account.requests


@pytest.mark.parametrize(
    ("check", "key", "quota", "settings"),
    [
        ("train quota", "train", "ml.g5.xlarge for training job usage", {"instance_count": 3}),
        (
            "train quota",
            "spot",
            "ml.g5.xlarge for spot training job usage",
            {"instance_count": 3, "spot_instance": True},
        ),
        ("deploy quota", "host", "ml.m5.large for endpoint usage", {"initial_instance_count": 3}),
    ],
)
def test_quotas_that_are_too_low(
    account: Account, capsys: pytest.CaptureFixture[str], check: str, key: str, quota: str, settings: dict[str, Any]
) -> None:
    finding = failure(capsys, check, **settings)
    assert f"'{quota}' is 2, and 3 wanted" in finding
    assert "aws service-quotas request-service-quota-increase --service-code sagemaker" in finding
    assert f"--quota-code L-{key.upper()} --desired-value 3 --region us-east-1" in finding


def test_an_unknown_quota_is_skipped(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    verdict, finding = examined(capsys, instance_type="ml.none.large")["train quota"]
    assert verdict == "skipped"
    assert "no quota 'ml.none.large for training job usage'" in finding


@pytest.mark.parametrize(
    ("operation", "code", "check", "action", "by_hand"),
    [
        ("get_role", "AccessDenied", "role", "iam:GetRole", "aws iam get-role --role-name ncf"),
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
    assert finding.startswith(f"may not call {action}, allow it or check by hand: ")
    assert by_hand in finding


def test_several_failures_are_counted(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.refuse("get_role", "NoSuchEntity")
    account.refuse("head_bucket", "404")
    with pytest.raises(RemoteError, match="2 of 5 checks failed: role, bucket"):
        Doctor(role=ROLE, bucket="runs").run()


def test_kfp_of_old(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp(lambda path: (200, "{}") if "v1beta1" in path else (404, "")) as (host, asked):
        assert examined(capsys, kfp_host=host)["kfp"] == ("ok", f"{host} answers at /apis/v1beta1/healthz")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, LOGIN_PAGE, ["a log-in is asked for (401)", "kubectl port-forward"]),
        (403, "RBAC: access denied", ["access is refused (403)", "namespace's profile"]),
        (404, "", ["there is no KFP API (404)", "/pipeline"]),
        (503, "", ["it answers with 503", "kubectl get pods"]),
        (200, LOGIN_PAGE, ["a web page answers", "log-in", "kubectl port-forward"]),
    ],
)
def test_kfp_that_does_not_answer_as_it_should(
    account: Account, capsys: pytest.CaptureFixture[str], status: int, body: str, words: list[str]
) -> None:
    with kfp(lambda _: (status, body)) as (host, _):
        finding = failure(capsys, "kfp", kfp_host=host)
    assert [word for word in words if word not in finding] == []


def test_a_redirect_to_a_login_page(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp(lambda path: (200, LOGIN_PAGE) if path == "/dex/auth" else (302, "/dex/auth")) as (host, _):
        assert f"a web page answers ({host}/dex/auth)" in failure(capsys, "kfp", kfp_host=host)


def test_no_kfp_at_all(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp(lambda _: (200, "")) as (host, _):
        pass
    finding = failure(capsys, "kfp", kfp_host=host)
    assert "nothing listens there" in finding
    assert "kubectl port-forward" in finding


def test_kfp_that_is_silent(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfp_check, "_SECONDS", 0.05)
    release = threading.Event()
    with kfp(lambda _: (200, "{}") if release.wait(5) else (500, "")) as (host, _):
        finding = failure(capsys, "kfp", kfp_host=host)
        release.set()
    assert "a firewall may be in the way" in finding
