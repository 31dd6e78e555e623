"""The steps of ``.ci/release``, as both CI systems run them, in a copy of the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kfp import ROLE, FakeKfp, serving
from local_jobs import client

from components.local.aws import LocalAws, Processes
from tests.cluster.setup.test_template import ROOT
from tests.readmes.conftest import Sandbox, sandbox

__all__ = ["sandbox"]

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
WORKFLOWS = ROOT / ".github" / "workflows"
RUN = f"""pipeline_root: s3://runs/kfp
parameters:
  data_uri: s3://runs/ratings.csv
  train_role: {ROLE}
  deploy_role: {ROLE}
"""
METRICS = {"gate_passed": 1.0, "candidates": 99.0, "full_ndcg_at_10": 0.16}


@pytest.fixture
def fork(sandbox: Sandbox) -> Sandbox:
    """The checkout as a commit, with a file of a run; make records how it is called."""
    (sandbox.folder / "runs").mkdir()
    (sandbox.folder / "runs" / "production.yaml").write_text(RUN)
    (sandbox.folder / "runs" / "nightly.yaml").write_text(f"{RUN}schedule: {{cron: 0 0 3 * * *}}\n")
    for path in ("Makefile", "pyproject.toml"):
        assert (sandbox.folder / path).is_file()
    tools = Path(sandbox.environment["PATH"].partition(":")[0])
    shutil.copy(tools / "aws", tools / "make")
    (sandbox.folder / ".gitignore").write_text("build/\noutput/\n.venv/\n__pycache__/\n")
    identity = "-c user.name=a -c user.email=a@example.com -c commit.gpgsign=false"
    sandbox.run(f"git init --quiet && git add --all . && git {identity} commit --quiet -m x")
    sandbox.environment["REGISTRY"] = REGISTRY
    return sandbox


@contextmanager
def cluster(fork: Sandbox, tmp_path: Path) -> Iterator[tuple[FakeKfp, LocalAws]]:
    """A KFP, and an account in which its first run has left its metrics."""
    kfp = FakeKfp()
    with serving(kfp) as host, LocalAws(tmp_path / "aws", Processes({})) as aws:
        aws.create_bucket("runs")
        body = json.dumps(METRICS).encode()
        client(aws, "s3").put_object(Bucket="runs", Key="kfp/ncf/run-1/evaluate/1/metrics", Body=body)
        fork.environment |= {**aws.environment, "KF_PIPELINES_ENDPOINT": host}
        yield kfp, aws


@pytest.mark.slow
def test_images_are_built_pushed_and_scanned_in_this_order(fork: Sandbox) -> None:
    fork.run(".ci/release images")
    calls = fork.calls_of_tools()
    login = ["docker", "login", "--username", "AWS", "--password-stdin", REGISTRY]
    assert ["aws", "ecr", "get-login-password"] in calls
    assert login in calls
    assert calls[-1] == ["make", "images", "push", "scan"]


@pytest.mark.slow
def test_a_commit_is_uploaded_and_run_once(fork: Sandbox, tmp_path: Path) -> None:
    commit = fork.run("git rev-parse HEAD")[:12]
    with cluster(fork, tmp_path) as (kfp, _):
        for _ in range(2):
            fork.run(".ci/release pipeline")
            said = fork.run(".ci/release run runs/production.yaml")
    assert [entry["display_name"] for entry in kfp.versions.values()] == [commit]
    assert [entry["display_name"] for entry in kfp.runs.values()] == [f"production {commit}"]
    assert "| this model | 0.1600 |" in said
    assert (fork.folder / "build" / "metrics.md").read_text() == said
    assert fork.calls_of_tools() == [["make", "pipeline"]] * 2
    spec: dict[str, Any] = kfp.runs["run-1"]["pipeline_spec"]
    images = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert all(image.startswith(f"{REGISTRY}/") for image in images)


@pytest.mark.slow
def test_what_is_not_reviewed_is_no_version_of_the_pipeline_of_triggers(fork: Sandbox, tmp_path: Path) -> None:
    """Triggers run the latest version of ``ncf``."""
    variables = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["release"]["env"]
    assert variables["PIPELINE_NAME"] == "${{ github.ref != 'refs/heads/main' && 'ncf-branches' || '' }}"
    with cluster(fork, tmp_path) as (kfp, _):
        for name in ("ncf-branches", ""):
            fork.environment["PIPELINE_NAME"] = name
            fork.run(".ci/release pipeline")
    names = {identifier: entry["display_name"] for identifier, entry in kfp.pipelines.items()}
    assert [names[entry["pipeline_id"]] for entry in kfp.versions.values()] == ["ncf-branches", "ncf"]


@pytest.mark.slow
def test_a_file_with_a_schedule_is_not_waited_for(fork: Sandbox, tmp_path: Path) -> None:
    with cluster(fork, tmp_path) as (kfp, _):
        said = fork.run(".ci/release run runs/nightly.yaml")
    (recurring,) = kfp.recurring
    assert recurring in said
    assert (fork.folder / "build" / "metrics.md").read_text() == said, "CodeBuild fails without its artifact"
    assert not kfp.runs


@pytest.mark.slow
def test_a_run_that_fails_fails_the_step_and_leaves_no_metrics(fork: Sandbox, tmp_path: Path) -> None:
    with cluster(fork, tmp_path) as (kfp, _):
        kfp.run = lambda _: {"state": "FAILED"}
        with pytest.raises(AssertionError, match="run run-1 ended as FAILED"):
            fork.run(".ci/release run runs/production.yaml")
    assert not (fork.folder / "build" / "metrics.md").exists()


@pytest.mark.parametrize(("words", "said"), [("", "usage: "), ("other", "usage: "), ("run", "is missing: a file")])
def test_a_wrong_call_says_what_is_expected(words: str, said: str) -> None:
    ran = subprocess.run(
        ["bash", str(ROOT / ".ci" / "release"), *words.split()],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "REGISTRY": REGISTRY},
    )
    assert ran.returncode != 0
    assert said in ran.stderr


def test_without_a_registry_nothing_starts() -> None:
    command = ["bash", str(ROOT / ".ci" / "release"), "images"]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert (ran.returncode, "REGISTRY: is not set" in ran.stderr) == (1, True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    paths = [ROOT / ".ci" / "release"]
    steps = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["release"]["steps"]
    for number, step in enumerate(step["run"] for step in steps if "run" in step):
        paths.append(tmp_path / f"step-{number}")
        paths[-1].write_text(f"#!/bin/bash\n{step}\n")
    subprocess.run(["shellcheck", *map(str, paths)], check=True)


def test_the_workflows_are_safe() -> None:
    """Pinned actions, no more permissions than needed, no untrusted text in scripts."""
    zizmor = Path(sys.executable).with_name("zizmor")
    ran = subprocess.run([zizmor, "--offline", "--quiet", str(WORKFLOWS)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_the_workflow_does_nothing_here_and_gives_forks_of_the_fork_no_credentials() -> None:
    job = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["release"]
    assert job["if"].startswith("vars.NCF_CI_ROLE != '' &&")
    assert "head.repo.full_name == github.repository" in job["if"]
    assert job["environment"] == "ncf"  # the claim of its token, which the role accepts
