"""``.github/kind/run`` with stand-ins for its tools: what it calls, in which order, and what it leaves."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.kind.conftest import KIND, ROOT

TOOL = """#!/bin/bash
# writes down how it was called, fails where $FAIL says so, and answers as the tool would
call="$(basename "$0") $*"
echo "$call" >>"$CALLS"
[[ -z "${FAIL:-}" || "$call" != *"$FAIL"* ]] || { echo "asked to fail" >&2; exit 1; }
case "$call" in
    "make pipeline"*) mkdir -p build && cp "$ROOT"/pipeline*.yaml build/ && sed -i "s#111122223333[^/]*/#$REGISTRY/#; s#:0\\.1\\.0#:kind#" build/*.yaml ;;
    "make images"*) mkdir -p build/images ;;
    "kind get clusters") echo "${CLUSTERS:-}" ;;
    "kubectl kustomize"*) echo "$MANIFEST" ;;
    "kubectl apply -f -") cat >>"$APPLIED" ;;
    "kubectl"*"port-forward"*) echo "Forwarding from 127.0.0.1:4000${call: -1} -> 8888"; exec sleep 300 ;;
    "kubectl"*"get secret"*) [[ $call =~ data\\.([A-Z_]+) ]] && printf "%s" "the ${BASH_REMATCH[1]}" | base64 ;;
    "kubectl -n kubeflow get pods -o name") echo pod/ncf-1 ;;
    "kubectl"*logs*) echo "a line of $3" ;;
esac
"""
PYTHON = f"""#!/bin/bash
[[ "$1" != *package.py ]] || exec {sys.executable} "$@"
call="python $(basename "$1") ${{*:2}}"
echo "$call" >>"$CALLS"
env | grep ^AWS_ >>"$CALLS.environment" || true
[[ -z "${{FAIL:-}}" || "$call" != *"$FAIL"* ]] || exit 1
"""
MANIFEST = """
  image: gcr.io/ml-pipeline/workflow-controller:v3.4.17-license-compliance
  - gcr.io/ml-pipeline/argoexec:v3.4.17-license-compliance
  image: gcr.io/ml-pipeline/minio:RELEASE.2019-08-14T20-37-41Z-license-compliance
  image: gcr.io/ml-pipeline/mysql:8.0.26
  image: gcr.io/tfx-oss-public/ml_metadata_store_server:1.14.0
  image: ghcr.io/kubeflow/kfp-api-server:2.4.1
"""
STEPS = [
    "make images",
    "make pipeline",
    "docker build",
    "kind create cluster",
    "kind load docker-image",
    "kubectl kustomize https://github.com/kubeflow/pipelines/manifests/kustomize/cluster-scoped-resources?ref=",
    "kubectl wait crd/",
    "kubectl kustomize https://github.com/kubeflow/pipelines/manifests/kustomize/env/platform-agnostic?ref=",
    "kubectl -n kubeflow wait deployment --all",
    "kubectl -n kubeflow delete deployment ncf-aws",
    "kubectl apply -f .github/kind/stand-in.yaml",
    "kubectl -n kubeflow wait deployment ncf-aws",
    "kubectl -n kubeflow port-forward service/ml-pipeline",
    "kubectl -n kubeflow port-forward service/ncf-aws",
    "python pipeline.py submit",
    "python verify.py open",
    "python pipeline.py submit",
    "python verify.py closed",
    "kind delete cluster",
]


@dataclass(frozen=True)
class Ended:
    """How the script ended, and what it did."""

    status: int
    said: str
    calls: list[str]
    folder: Path

    def having(self, text: str) -> list[str]:
        return [call for call in self.calls if text in call]


class Checkout:
    """A copy of the files that the script needs, with tools of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for copied in (KIND, ROOT / "components" / "local"):
            shutil.copytree(copied, folder / copied.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "components" / "__init__.py", folder / "components")
        for name, text in {
            **dict.fromkeys((f"bin/{tool}" for tool in ("docker", "kind", "kubectl", "make", "git")), TOOL),
            ".venv/bin/python": PYTHON,
            "images/base/Dockerfile": (ROOT / "images" / "base" / "Dockerfile").read_text(),
        }.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def run(self, *arguments: str, without: str = "", **variables: str) -> Ended:
        calls = self.folder / "calls"
        for path in self.folder.glob("calls*"):
            path.unlink()
        if without:
            (self.folder / "bin" / without).unlink()
        environment: Mapping[str, str] = {
            "PATH": self._few_tools() if without else f"{self.folder / 'bin'}:/usr/bin:/bin",
            "CALLS": str(calls),
            "APPLIED": str(self.folder / "applied"),
            "MANIFEST": MANIFEST,
            "ROOT": str(ROOT),
            "REGISTRY": "ncf.local",
            **variables,
        }
        ended = subprocess.run(
            ["bash", str(self.folder / ".github" / "kind" / "run"), *arguments],
            env=dict(environment),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = calls.read_text().splitlines() if calls.exists() else []
        return Ended(ended.returncode, ended.stdout + ended.stderr, lines, self.folder)

    def _few_tools(self) -> str:
        """A PATH that has, beside the tools of this folder, only what the script needs until it looks for tools."""
        for tool in ("bash", "dirname", "sort", "head"):
            (self.folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
        return str(self.folder / "bin")


def assert_nothing_runs(folder: Path) -> None:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            assert f"CALLS={folder}".encode() not in path.read_bytes(), "a process outlives the script"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    yield Checkout(tmp_path)
    assert_nothing_runs(tmp_path)


@pytest.fixture(scope="module")
def ended_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ended]:
    """The run of a release without anything else said, once for all tests that look at it."""

    @functools.cache
    def run(version: str) -> Ended:
        ended = Checkout(tmp_path_factory.mktemp("kind")).run(version)
        assert_nothing_runs(ended.folder)
        return ended

    return run


def test_steps_come_in_order_and_the_cluster_goes(ended_at: Callable[[str], Ended]) -> None:
    ended = ended_at("2.16.1")
    assert ended.status == 0, ended.said
    rest = iter(ended.calls)
    for step in STEPS:
        assert any(call.startswith(step) for call in rest), f"{step} does not follow what is before it"
    assert "gate open and closed" in ended.said
    assert not (ended.folder / "build" / "kind" / "2.16.1" / "objects.txt").exists()


def test_images_of_the_package_are_loaded_under_their_names(ended_at: Callable[[str], Ended]) -> None:
    calls = ended_at("2.16.1")
    loaded = {call.split()[-1] for call in calls.having("kind load")}
    package = yaml.safe_load((calls.folder / "build" / "pipeline.yaml").read_text())
    named = {entry["container"]["image"] for entry in package["deploymentSpec"]["executors"].values()}
    assert loaded == named | {"ncf-stand-in:kind"}
    assert "docker tag ncf-evaluate:kind ncf.local/ncf-evaluate:kind" in calls.calls


@pytest.mark.parametrize(
    ("version", "suffix"),
    [("2.14.0", ""), ("2.16.1", ""), pytest.param("2.5.0", "-root", marks=pytest.mark.slow), ("2.4.1", "-root")],
)
def test_releases_before_2_14_run_the_older_form(ended_at: Callable[[str], Ended], version: str, suffix: str) -> None:
    ended = ended_at(version)
    assert ended.status == 0, ended.said
    assert f"docker tag ncf-evaluate:kind{suffix} ncf.local/ncf-evaluate:kind{suffix}" in ended.calls
    assert ended.having(f"?ref={version}&")


@pytest.mark.parametrize(
    ("version", "node"),
    [("2.4.1", "v1.31.0"), ("2.16.1", "v1.31.0"), ("2.17.0", "v1.33.12")],
)
def test_kubernetes_fits_the_release(ended_at: Callable[[str], Ended], version: str, node: str) -> None:
    (created,) = ended_at(version).having("kind create")
    assert f"--image kindest/node:{node} " in created


def test_kubernetes_can_be_chosen(checkout: Checkout) -> None:
    (created,) = checkout.run("2.17.0", NODE_IMAGE="kindest/node:v1.36.1").having("kind create")
    assert "--image kindest/node:v1.36.1 " in created


def test_pods_and_the_checks_have_the_key_of_the_secret(ended_at: Callable[[str], Ended]) -> None:
    ended = ended_at("2.16.1")
    adapted = yaml.safe_load((ended.folder / "build" / "kind" / "2.16.1" / "package.yaml").read_text())
    for entry in adapted["deploymentSpec"]["executors"].values():
        variables = {variable["name"]: variable["value"] for variable in entry["container"]["env"]}
        assert variables["AWS_ENDPOINT_URL"] == "http://ncf-aws.kubeflow.svc.cluster.local:4566"
        assert variables["AWS_ACCESS_KEY_ID"] == "the AWS_ACCESS_KEY_ID"
        assert variables["AWS_SECRET_ACCESS_KEY"] == "the AWS_SECRET_ACCESS_KEY"
        assert variables["AWS_REGION"]
    given = (ended.folder / "calls.environment").read_text()
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:40006\n" in given
    assert "AWS_ACCESS_KEY_ID=the AWS_ACCESS_KEY_ID\n" in given
    submissions = ended.having("pipeline.py submit")
    assert [" --host http://127.0.0.1:40008 " in call for call in submissions] == [True, True]
    assert "gate_min_hr_at_10=1.0" in submissions[1]
    assert "deploy_endpoint_name=ncf-closed" in submissions[1]
    assert ended.having("verify.py") == ["python verify.py open ncf-open 1", "python verify.py closed ncf-closed 2"]


def test_images_that_are_gone_are_replaced_by_their_originals(ended_at: Callable[[str], Ended]) -> None:
    ended = ended_at("2.4.1")
    applied = (ended.folder / "applied").read_text()
    assert "gcr.io/ml-pipeline" not in applied
    for image in (
        "quay.io/argoproj/workflow-controller:v3.4.17\n",
        "quay.io/argoproj/argoexec:v3.4.17\n",
        "image: minio/minio:RELEASE.2019-08-14T20-37-41Z\n",
        "image: mysql:8.0.26\n",
        "image: gcr.io/tfx-oss-public/ml_metadata_store_server:1.14.0\n",
        "image: ghcr.io/kubeflow/kfp-api-server:2.4.1\n",
    ):
        assert image in applied


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("kind create", marks=pytest.mark.slow),
        pytest.param("kustomize/env", marks=pytest.mark.slow),
        "wait deployment --all",
        pytest.param("pipeline.py submit", marks=pytest.mark.slow),
        pytest.param("verify.py open", marks=pytest.mark.slow),
        "verify.py closed",
    ],
)
def test_a_failure_is_looked_into_and_the_cluster_goes(checkout: Checkout, step: str) -> None:
    ended = checkout.run("2.16.1", FAIL=step)
    assert ended.status != 0
    out = checkout.folder / "build" / "kind" / "2.16.1"
    assert (out / "logs" / "ncf-1.log").exists()
    assert {"objects.txt", "events.txt", "pods.txt", "workflows.yaml"} <= {path.name for path in out.iterdir()}
    assert ended.calls[-1] == "kind delete cluster --name ncf-kfp-2-16-1"
    after = ended.calls[next(index for index, call in enumerate(ended.calls) if step in call) + 1 :]
    assert not [call for call in after if call.startswith(("python", "kubectl apply"))], "nothing goes on after it"


def test_a_cluster_that_is_kept_is_taken_up(checkout: Checkout) -> None:
    kept = checkout.run("2.16.1", KEEP="1")
    assert kept.status == 0, kept.said
    assert not kept.having("kind delete")
    assert "kind delete cluster --name ncf-kfp-2-16-1 removes it" in kept.said
    again = checkout.run("2.16.1", CLUSTERS="other\nncf-kfp-2-16-1")
    assert again.status == 0, again.said
    assert not again.having("kind create")
    assert again.having("kind export kubeconfig")
    assert again.having("delete deployment ncf-aws"), "the jobs of the first run are gone"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected one argument"),
        (["main"], "'main' is not a release of KFP"),
        (["2.16.1;true"], "is not a release"),
        (["2.3.0"], "its images were at gcr.io/ml-pipeline"),
    ],
)
def test_what_cannot_be_is_refused_at_once(checkout: Checkout, arguments: list[str], said: str) -> None:
    ended = checkout.run(*arguments)
    assert ended.status == 2
    assert said in ended.said
    assert not ended.calls


@pytest.mark.parametrize("tool", ["docker", "kind", "kubectl"])
def test_a_tool_that_is_not_there_is_named(checkout: Checkout, tool: str) -> None:
    ended = checkout.run("2.16.1", without=tool)
    assert ended.status == 2
    assert f"there is no command '{tool}'" in ended.said
    assert not ended.calls


@pytest.mark.slow
def test_the_users_own_cluster_configuration_is_not_touched(checkout: Checkout) -> None:
    mine = checkout.folder / "mine"
    mine.write_text("mine")
    checkout.run("2.16.1", KUBECONFIG=str(mine), HOME=os.environ.get("HOME", "/"))
    assert mine.read_text() == "mine"
    assert "KUBECONFIG=$PWD/$out/kubeconfig" in (KIND / "run").read_text()
