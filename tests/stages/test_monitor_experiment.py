"""The monitor stage of an endpoint with an experiment, on an account of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from captured import START, of_user, write
from local_account import BUCKET, local_account
from shop import Shop

from ncf.aws.names import CHALLENGER_VARIANT, VARIANT
from ncf.monitoring.contest import Variants
from ncf.monitoring.window import Window
from ncf.operators.experiment import Experiment as Command
from ncf.sagemaker.hosting.running_experiment import Experiment, of_endpoint
from ncf.sagemaker.registry.names import REJECTED
from ncf.stage.execution import run
from ncf.stages.monitor import Monitor

OUTPUTS = ("report", "metrics", "summary", "figures", "breached")
USERS = [f"u{number}" for number in range(400)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """An endpoint with an experiment."""
    with local_account(tmp_path) as _:
        shop = Shop.open("shop", tmp_path)
        shop.release(shop.register(1), "run-1", "--data-capture-s3-uri", f"s3://{BUCKET}/captured")
        run(Command, ["start", "shop", "--challenger", shop.register(2), "--share", "0.4"])
        yield shop


def running(shop: Shop) -> Experiment:
    found = of_endpoint(shop.aws, "shop")
    assert found
    return found


def write_traffic(folder: Path, experiment: Experiment, good: str) -> tuple[Path, Path]:
    """Captured requests, whose lists are right in one variant, and later interactions.

    Returns:
        Folder of the captured data, and file of the interactions.
    """
    window = Window(experiment.started, experiment.started)
    variants = Variants(experiment.name, VARIANT, CHALLENGER_VARIANT, experiment.share, window)
    start = experiment.started.timestamp() + 5
    shift = start - START.timestamp()
    for name in (VARIANT, CHALLENGER_VARIANT):
        items = ["i1"] if good in (name, "both") else ["i2"]
        records = [
            of_user(user, items, shift + number / 100) for number, user in enumerate(USERS) if variants.of(user) == name
        ]
        write(folder / "traffic", "shop", records, variant=name)
    path = folder / "later.csv"
    rows = [f"{user},i1,{int(start + 1800)}" for user in USERS[::2]]
    path.write_text("\n".join(["user,item,timestamp", *rows, f"nobody,i0,{int(start + 200_000)}"]) + "\n")
    return folder / "traffic", path


def monitored(shop: Shop, folder: Path, good: str, *flags: str) -> dict[str, Any]:
    folder.mkdir()
    traffic, later = write_traffic(folder, running(shop), good)
    since: datetime = running(shop).started
    paths = {name: folder / name for name in OUTPUTS}
    given = ["--endpoint-name=shop", f"--since={since:%Y-%m-%dT%H:%M:%S}", "--hours=1", f"--capture-uri={traffic}"]
    given += [f"--interactions-uri={later}", "--horizon-hours=1", f"--markers-uri={folder.parent / 'markers'}"]
    run(Monitor, [*(f"--{name}={path}" for name, path in paths.items()), *given, *flags])
    return {name: path.read_text() for name, path in paths.items()}


@pytest.mark.slow
def test_from_not_yet_to_stopped(shop: Shop, tmp_path: Path) -> None:
    topic = boto3.client("sns").create_topic(Name="verdicts")["TopicArn"]
    notify, stop = f"--notify={topic}", "--stop-worse=true"
    equal = monitored(shop, tmp_path / "equal", "both", notify, stop)
    assert "The challenger: not yet." in equal["summary"]
    assert "notification of the verdict" not in equal["report"]
    assert "challenger_gain" in json.loads(equal["metrics"])
    assert "confidence sequence" in equal["report"]

    better = monitored(shop, tmp_path / "better", CHALLENGER_VARIANT, notify, stop)
    assert "The challenger: better." in better["summary"]
    assert "A notification of the verdict was sent." in better["report"]
    again = monitored(shop, tmp_path / "again", CHALLENGER_VARIANT, notify)
    assert "A notification of the verdict" not in again["report"], "once"
    assert running(shop).is_running

    worse = monitored(shop, tmp_path / "worse", VARIANT)
    figures = json.loads(worse["figures"])["experiment"]
    assert figures["verdict"] == "worse"
    assert sum(figures["users"].values()) == len(USERS)
    assert running(shop).is_running, "without the parameter nothing is stopped"

    stopped = monitored(shop, tmp_path / "stopped", VARIANT, notify, stop)
    assert "The experiment was stopped" in stopped["summary"]
    assert "A notification of the verdict was sent." in stopped["summary"]
    assert not running(shop).is_running
    assert '"experiment": null' in monitored(shop, tmp_path / "after", VARIANT)["figures"]


@pytest.mark.slow
def test_a_challenger_whose_approval_is_withdrawn_is_stopped(shop: Shop, tmp_path: Path) -> None:
    shop.decide(running(shop).challenger, REJECTED)
    found = monitored(shop, tmp_path / "out", "both", "--since=2026-01-01")
    assert "The experiment was stopped: shop version 2 is Rejected" in found["report"], "whatever the window"
    assert not running(shop).is_running


@pytest.mark.slow
def test_without_interactions_it_says_what_is_missing(shop: Shop, tmp_path: Path) -> None:
    traffic, _ = write_traffic(tmp_path, running(shop), VARIANT)
    paths = {name: tmp_path / name for name in OUTPUTS}
    flags = ["--endpoint-name=shop", f"--capture-uri={traffic}", "--hours=1"]
    since = f"--since={running(shop).started:%Y-%m-%dT%H:%M:%S}"
    run(Monitor, [*(f"--{name}={path}" for name, path in paths.items()), *flags, since])
    assert "compared only with later interactions" in paths["report"].read_text()
