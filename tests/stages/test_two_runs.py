"""Two runs of the pipeline at once, from their models on: register, select-package and deploy, each pod a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from local_account import BUCKET, ROLE, local_account
from model_packages import clients
from random_model import random_model

from ncf.artifacts import manifest
from ncf.aws.names import DEPLOYED_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.evaluation.gate import GateCondition, with_gate
from ncf.sagemaker.hosting.live import live_endpoints
from ncf.sagemaker.registry.approval import decide
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import find, packages

SHOP = "ncf-shop"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


class Run:
    """The pods of a run after the training.

    Args:
        folder: of the run.
        seed: of its model.
        release: parameter of that name.
    """

    def __init__(self, folder: Path, seed: int, release: str) -> None:
        self.folder, self.id = folder / f"run-{seed}", f"run-{seed}"
        self.release = release
        self.folder.mkdir()
        replace(random_model(seed=seed), history={"best_epoch": 1}).save(self.folder / "model", {}, {})
        metrics = {"full_ndcg_at_10": 0.1, "full_hr_at_10": 0.2, "details": {}}
        content = with_gate(metrics, [GateCondition("NDCG is high", True)])
        (self.folder / "metrics.json").write_text(json.dumps(content))
        (self.folder / "report.html").write_text("<p>report</p>")

    @property
    def version(self) -> str:
        return manifest.version(manifest.read(self.folder / "model", "model"))

    def pod(self, stage: str, outputs: tuple[str, ...], **flags: Any) -> subprocess.CompletedProcess[str]:
        """Run a stage, tried three times as on a cluster."""
        given = {**flags, **{name: self.folder / stage / name for name in outputs}}
        arguments = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        for _ in range(3):
            command = [sys.executable, "-m", "ncf", stage, *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120)
            if ended.returncode == 0:
                break
        return ended

    def register(self) -> str:
        """ARN of the package."""
        ended = self.pod(
            "register",
            ("package", "release_now", "summary"),
            model=self.folder / "model",
            metrics=self.folder / "metrics.json",
            report=self.folder / "report.html",
            passed="true",
            deploy_image="registry/ncf-deploy:1",
            s3_prefix=f"s3://{BUCKET}/runs",
            registry_group="shop",
            release=self.release,
            run_id=self.id,
        )
        assert ended.returncode == 0, ended.stderr
        return (self.folder / "register" / "package").read_text()

    def deploy(self, package: str) -> subprocess.CompletedProcess[str]:
        return self.pod(
            "deploy",
            ("endpoint", "metrics", "summary"),
            package=package,
            role=ROLE,
            endpoint_name=SHOP,
            run_id=self.id,
            bake_time=0,
        )


class Watch(threading.Thread):
    """Asks the endpoint all the time.

    Attributes:
        versions: models that have answered.
    """

    def __init__(self, account: Any) -> None:
        super().__init__(daemon=True)
        self._account, self.versions, self._ended = account, set[str](), threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            with suppress(Exception):  # before the endpoint exists
                self.versions.add(self._account.invoke(SHOP, {"users": ["u1"], "k": 1})["model_version"])

    def stop(self) -> set[str]:
        self._ended.set()
        self.join()
        return self.versions


def all_packages(aws: Aws) -> dict[str, str]:
    """Run -> ARN of its package; a run has one."""
    found = [(package.run, package.arn) for package in packages(aws, "shop")]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.slow
def test_a_run_has_one_package_and_one_approved_version_is_live(account: Any, tmp_path: Path) -> None:
    aws = clients()
    runs = [Run(tmp_path, seed, "at_once") for seed in (1, 2)]
    waiting = [Run(tmp_path, seed, "on_approval") for seed in (3, 4)]
    watch = Watch(account)
    watch.start()

    def whole(run: Run) -> subprocess.CompletedProcess[str]:
        return run.deploy(run.register())

    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(whole, runs)) + list(pool.map(whole, waiting))
    by_run = all_packages(aws)
    assert by_run.keys() == {run.id for run in (*runs, *waiting)}
    assert [run.returncode for run in ended[2:]] == [2, 2], "they wait for approval"
    assert all("is PendingManualApproval" in run.stderr for run in ended[2:])
    one_is_live(aws, {by_run[run.id] for run in runs}, [run.stderr for run in ended])

    decide(aws, find(aws, by_run["run-4"]), APPROVED, "good")
    with ThreadPoolExecutor() as pool:
        again = list(pool.map(lambda run: run.deploy(by_run[run.id]), waiting))
    assert [run.returncode for run in again] == [2, 0]
    assert one_is_live(aws, {by_run["run-4"]}, [run.stderr for run in again]) == by_run["run-4"]
    assert all_packages(aws) == by_run
    assert watch.stop() <= {run.version for run in (*runs, waiting[1])}, "never one that was not approved"


def one_is_live(aws: Aws, expected: set[str], said: list[str]) -> str:
    """The live package, which is one of those expected, and whose deployment is complete."""
    live = live_endpoints(aws)
    assert list(live.values()) == [[SHOP]], said
    assert live.keys() <= expected, said
    state = aws.call("sagemaker", "describe_endpoint", EndpointName=SHOP)
    assert tags_of(aws, state["EndpointArn"])[DEPLOYED_TAG] == state["EndpointConfigName"], said
    return next(iter(live))
