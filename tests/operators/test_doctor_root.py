"""The doctor sees where a namespace keeps the artifacts of its runs, and whether the API takes a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_account import LOGIN_PAGE, kfp

from ncf.errors import InputError
from ncf.operators import kfp_check, root_check
from ncf.operators.check import FailedError, SkippedError
from ncf.operators.checks import Examination
from ncf.operators.doctor import Doctor
from ncf.stage import command

ROLE = "arn:aws:iam::123456789012:role/ncf"
PROVIDERS = "s3:\n  default:\n    region: us-east-1\n    credentials:\n      fromEnv: true\n"
SECRET = "s3:\n  default:\n    credentials:\n      fromEnv: false\n      secretRef:\n        secretName: mine\n"
NOT_FOUND = 'Error from server (NotFound): configmaps "kfp-launcher" not found'


def doctor(**settings: str) -> Doctor:
    return Doctor(role=ROLE, instance_type="", endpoint_instance_type="", **settings)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a kubectl on PATH that answers so, and writes down what it was asked."""

    def put(data: dict[str, str] | None, error: str = "") -> Path:
        (tmp_path / "answer").write_text(json.dumps({"kind": "ConfigMap", **({"data": data} if data else {})}))
        (tmp_path / "error").write_text(error)
        lines = [
            "#!/bin/sh",
            f'echo "$@" > {tmp_path}/asked',
            f"/bin/cat {tmp_path}/error >&2",
            *([] if error else [f"exec /bin/cat {tmp_path}/answer"]),
            "exit 1",
        ]
        (tmp_path / "kubectl").write_text("\n".join(lines))
        (tmp_path / "kubectl").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path / "asked"

    return put


def test_a_root_in_s3(kubectl: Any) -> None:
    asked = kubectl({"defaultPipelineRoot": "s3://runs/root", "providers": PROVIDERS})
    found = root_check.check(doctor(namespace="team", bucket="runs"))
    assert found == "s3://runs/root (defaultPipelineRoot of ConfigMap kfp-launcher in team)"
    assert asked.read_text().split() == ["get", "configmap", "kfp-launcher", "-n", "team", "-o", "json"]


def test_without_providers_kfp_takes_the_pods_role(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root"})
    assert "fromEnv" not in root_check.check(doctor(namespace="team"))


def test_providers_with_a_secret_are_said(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root", "providers": SECRET})
    assert "no 'fromEnv: true'" in root_check.check(doctor(namespace="team"))


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"defaultPipelineRoot": "minio://mlpipeline/v2/artifacts"}, "is 'minio://mlpipeline/v2/artifacts'"),
        ({"defaultPipelineRoot": ""}, "is not set, which makes it MinIO"),
        (None, "is not set, which makes it MinIO"),
    ],
)
def test_a_root_that_sagemaker_does_not_read(kubectl: Any, data: dict[str, str] | None, state: str) -> None:
    kubectl(data)
    with pytest.raises(FailedError) as failed:
        root_check.check(doctor(namespace="team"))
    assert state in str(failed.value)
    patch = (
        """kubectl patch configmap kfp-launcher -n team -p '{"data": {"defaultPipelineRoot": "s3://BUCKET/PREFIX"}}'"""
    )
    assert [word for word in (patch, "--pipeline-root", "aws_s3_prefix") if word not in str(failed.value)] == []


def test_no_config_map_at_all(kubectl: Any) -> None:
    kubectl(None, NOT_FOUND)
    with pytest.raises(FailedError, match="is not set, which makes it MinIO"):
        root_check.check(doctor(namespace="team"))


def test_a_root_in_another_bucket(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://other/root"})
    with pytest.raises(FailedError, match="s3://other/root .* is not in the bucket 'runs'"):
        root_check.check(doctor(namespace="team", bucket="s3://runs/x"))
    with pytest.raises(FailedError, match="s3://other/root \\(--pipeline-root\\) is not in the bucket 'runs'"):
        root_check.check(doctor(pipeline_root="s3://other/root", bucket="runs"))


def test_a_given_root_needs_no_cluster(kubectl: Any) -> None:
    asked = kubectl({})
    assert root_check.check(doctor(namespace="team", pipeline_root="s3://runs/r")) == "s3://runs/r (--pipeline-root)"
    assert not asked.exists()


def test_where_the_cluster_cannot_be_asked(kubectl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = "'kubectl get configmap kfp-launcher -n team -o yaml' should show an s3:// URI as defaultPipelineRoot"
    kubectl(None, "Error from server (Forbidden): configmaps is forbidden")
    with pytest.raises(SkippedError, match=r"Forbidden.*check by hand: ") as skipped:
        root_check.check(doctor(namespace="team"))
    assert by_hand in str(skipped.value)
    (tmp_path / "kubectl").write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    monkeypatch.setattr(root_check, "_SECONDS", 0.1)
    with pytest.raises(SkippedError, match="does not answer within 0.1 s"):
        root_check.check(doctor(namespace="team"))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SkippedError, match="kubectl is not on PATH") as skipped:
        root_check.check(doctor(namespace="team"))
    assert by_hand in str(skipped.value)


@pytest.mark.parametrize("answer", ["", "not json", "[1]", "null", '{"data": "x"}', "\udcff"])
def test_what_kubectl_prints_is_no_config_map(kubectl: Any, tmp_path: Path, answer: str) -> None:
    kubectl({})
    (tmp_path / "answer").write_bytes(answer.encode(errors="surrogateescape"))
    with pytest.raises(SkippedError, match="does not print a ConfigMap; check by hand: "):
        root_check.check(doctor(namespace="team"))


def test_a_root_at_another_endpoint_is_no_s3(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root?endpoint=minio-service:9000"})
    with pytest.raises(FailedError, match="SageMaker reads S3 alone"):
        root_check.check(doctor(namespace="team"))


def test_the_root_is_checked_if_asked_for_even_without_credentials(kubectl: Any) -> None:
    kubectl(None)
    examination = Examination(doctor(namespace="team"))
    check = examination.checks()[-1]
    assert (check.name, check.needs_aws) == ("root", False)
    assert examination.verdict(check)[0] == "FAILED"
    assert "root" not in [check.name for check in Examination(doctor()).checks()]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--pipeline-root", "minio://runs/r"),
        ("--pipeline-root", "s3://"),
        ("--namespace", "-n"),
        ("--namespace", "a b"),
    ],
)
def test_impossible_values_are_named(flag: str, value: str) -> None:
    with pytest.raises(InputError, match=f"parameter '{flag[2:].replace('-', '_')}' "):
        command.parse(Doctor, ["--role", ROLE, f"{flag}={value}"])


def test_the_api_is_asked_with_token_and_cookies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    seen: list[Any] = []
    original = kfp_check.urlopen
    monkeypatch.setattr(
        kfp_check, "urlopen", lambda request, **options: seen.append(request) or original(request, **options)
    )
    (tmp_path / "token").write_text("sesame\n")
    (tmp_path / "cookie").write_text("a=1\nb=2\n")
    with kfp(lambda _: (200, "{}")) as (host, _):
        kfp_check.check(doctor(kfp_host=host, kfp_token=f"{tmp_path}/token", kfp_cookie=f"{tmp_path}/cookie"))
    sent = seen[0].unredirected_hdrs  # and in no others, which a log-in's host would get
    assert (sent["Authorization"], sent["Cookie"], seen[0].headers) == ("Bearer sesame", "a=1; b=2", {})


def test_a_token_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NCF_KFP_TOKEN", "old")
    with kfp(lambda _: (401, LOGIN_PAGE)) as (host, _), pytest.raises(FailedError, match="not taken, or has expired"):
        kfp_check.check(doctor(kfp_host=host))


def test_a_token_that_cannot_be_read_fails_the_check(tmp_path: Path) -> None:
    examination = Examination(doctor(kfp_host="http://localhost:1", kfp_token=f"{tmp_path}/none"))
    verdict, finding = examination.verdict(examination.checks()[-1])
    assert verdict == "FAILED"
    assert "token: the file cannot be read" in finding
