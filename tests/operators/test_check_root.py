"""Check of the pipeline root: in S3, in the bucket, read with the pods' role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ncf.operators.checks import root
from ncf.operators.checks.check import FailedError, SkippedError

PROVIDERS = "s3:\n  default:\n    region: us-east-1\n    credentials:\n      fromEnv: true\n"
SECRET = "s3:\n  default:\n    credentials:\n      fromEnv: false\n      secretRef:\n        secretName: mine\n"
NOT_FOUND = 'Error from server (NotFound): configmaps "kfp-launcher" not found'


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
    found = root.check("team", bucket="runs").run()
    assert found == "s3://runs/root (defaultPipelineRoot of ConfigMap kfp-launcher in team)"
    assert asked.read_text().split() == ["get", "configmap", "kfp-launcher", "-n", "team", "-o", "json"]


def test_without_providers_kfp_takes_the_pods_role(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root"})
    assert "fromEnv" not in root.check("team").run()


def test_providers_with_a_secret_are_said(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root", "providers": SECRET})
    assert "no 'fromEnv: true'" in root.check("team").run()


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"defaultPipelineRoot": "minio://mlpipeline/v2/artifacts"}, "is 'minio://mlpipeline/v2/artifacts'"),
        ({"defaultPipelineRoot": ""}, "is not set, so it is MinIO"),
        (None, "is not set, so it is MinIO"),
    ],
)
def test_a_root_that_sagemaker_does_not_read(kubectl: Any, data: dict[str, str] | None, state: str) -> None:
    kubectl(data)
    with pytest.raises(FailedError) as failed:
        root.check("team").run()
    assert state in str(failed.value)
    patch = (
        """kubectl patch configmap kfp-launcher -n team -p '{"data": {"defaultPipelineRoot": "s3://BUCKET/PREFIX"}}'"""
    )
    assert [word for word in (patch, "--pipeline-root", "aws_s3_prefix") if word not in str(failed.value)] == []


def test_no_config_map_at_all(kubectl: Any) -> None:
    kubectl(None, NOT_FOUND)
    with pytest.raises(FailedError, match="is not set, so it is MinIO"):
        root.check("team").run()


def test_a_root_in_another_bucket(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://other/root"})
    with pytest.raises(FailedError, match="s3://other/root .* is not in the bucket 'runs'"):
        root.check("team", bucket="runs").run()
    with pytest.raises(FailedError, match="s3://other/root \\(--pipeline-root\\) is not in the bucket 'runs'"):
        root.check("", pipeline_root="s3://other/root", bucket="runs").run()


def test_a_given_root_needs_no_cluster(kubectl: Any) -> None:
    asked = kubectl({})
    assert root.check("team", pipeline_root="s3://runs/r").run() == "s3://runs/r (--pipeline-root)"
    assert not asked.exists()


def test_where_the_cluster_cannot_be_asked(kubectl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = "'kubectl get configmap kfp-launcher -n team -o yaml' should show an s3:// URI as defaultPipelineRoot"
    kubectl(None, "Error from server (Forbidden): configmaps is forbidden")
    with pytest.raises(SkippedError, match=r"Forbidden.*check by hand: ") as skipped:
        root.check("team").run()
    assert by_hand in str(skipped.value)
    (tmp_path / "kubectl").write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    monkeypatch.setattr(root, "_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(SkippedError, match="does not answer within 0.1 s"):
        root.check("team").run()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SkippedError, match="kubectl is not on PATH") as skipped:
        root.check("team").run()
    assert by_hand in str(skipped.value)


@pytest.mark.parametrize("answer", ["", "not json", "[1]", "null", '{"data": "x"}', "\udcff"])
def test_what_kubectl_prints_is_no_config_map(kubectl: Any, tmp_path: Path, answer: str) -> None:
    kubectl({})
    (tmp_path / "answer").write_bytes(answer.encode(errors="surrogateescape"))
    with pytest.raises(SkippedError, match="does not print a ConfigMap; check by hand: "):
        root.check("team").run()


def test_a_root_at_another_endpoint_is_no_s3(kubectl: Any) -> None:
    kubectl({"defaultPipelineRoot": "s3://runs/root?endpoint=minio-service:9000"})
    with pytest.raises(FailedError, match="SageMaker reads only S3"):
        root.check("team").run()


def test_the_root_is_checked_without_credentials(kubectl: Any) -> None:
    kubectl(None)
    assert root.check("team").result(has_credentials=False)[0] == "FAILED"
