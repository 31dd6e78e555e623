"""Outcome of a run, on the records of real KFP backends and on made-up evidence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ncf.sagemaker.runs.outcome import Evidence, Job, Outputs, RunEndpoint, verdict

RUN = "run-1"
FOLDER = f"s3://bucket/root/ncf/{RUN}"
STAGES = ("train", "evaluate", "deploy")

LEFT_BY_TRAIN = {
    "01-default-root-no-prefix": (),
    "04-retry-max-short20": ("InProgress",),
    "04-retry-max-short60": ("Stopped",),
    "04-retry-max-zero": ("InProgress",),
    "05-terminated": ("Stopped",),
    "06-pod-deleted": ("Stopped",),
    "07-retry-run-after-pod-deleted": ("Stopped",),
    "08-retry-run-after-finish-stopped-the-job": ("InProgress",),
    "13-recurring-run": (),
    "16-hard-kill-then-retry-run": ("InProgress",),
    "17-pod-deleted-slow-aws": ("Stopped",),
    "20-training-job-failed": ("Failed",),
    "22-mended-retry-run-after-finish-stopped": ("InProgress",),
    "26-mended-hard-kill-then-retry-run": ("Stopped",),
    "32-as-it-stands-train-killed-after-46-s": ("Stopped",),
    "2.16.1/jobfails": ("Failed",),
    "2.16.1/minio": (),
    "2.16.1/older-train": (),
    "2.16.1/oomkill": ("InProgress",),
    "2.17.0/oomkill": ("InProgress",),
    "2.4.1/olderfilled": (),
}
"""Training jobs that were there when the exit handler began, of runs whose train had failed."""
ENDPOINT_LEFT = "24-terminated-in-deploy"
"""Where deploy had begun to create an endpoint."""
EXECUTORS = ("retry-system-container-executor", "system-container-executor")
BACKEND = [
    *(name for name in LEFT_BY_TRAIN if "/" not in name),
    "02-s3-root-success",
    "03-gate-closed",
    "04-retry-max-30d",
    "11-deploy-failing",
    "12-minio-root-with-s3-prefix",
    "14-imported-folder-with-marker",
    "15-nothing-at-the-uri",
    "19-main-killed-then-retried",
    "21-recurring-run-s3-root",
    "23-deploy-pod-killed-then-retried",
    "24-terminated-in-deploy",
    "25-overrides-and-named-endpoint",
    "27-second-version-of-an-endpoint",
    "29-no-such-bucket",
    "30-older-form-with-isOptional-and-workflow-uid",
]
DRIVER = [
    *(name for name in LEFT_BY_TRAIN if "/" in name),
    "2.14.0/closed",
    "2.14.0/open",
    "2.16.1/baddata",
    "2.16.1/cache1",
    "2.16.1/champion1",
    "2.16.1/closed",
    "2.16.1/deployfails",
    "2.16.1/hookdown",
    "2.16.1/minioprefix",
    "2.16.1/odd",
    "2.16.1/older-filled",
    "2.16.1/open",
    "2.16.1/s3secret",
    "2.16.1/single-finish",
    "2.16.1/trainretry",
    "2.17.0-mended/closed",
    "2.17.0-mended/open",
    "2.17.0/champion2",
    "2.17.0/deployfails",
    "2.17.0/odd",
    "2.17.0/stripped-open",
    "2.17.0/trainretry-closed",
    "2.17.0/trainretry-open",
    "2.2.0/olderfilleduid",
    "2.4.1/olderfilleduid",
    "2.5.0/olderfilled",
]


def job(status: str, number: int = 1, **more: Any) -> Job:
    return Job(f"ncf-train-{number}", status, f"https://console/jobs/{number}", **more)


def endpoint(status: str = "InService", run: str = RUN, is_deployed: bool = True, is_new: bool = True) -> RunEndpoint:
    return RunEndpoint("ncf-shop", status, "https://console/endpoints/ncf-shop", run, is_deployed, is_new)


def outputs(*ended: str, gate: bool | None = None) -> Outputs:
    return Outputs(FOLDER, started=frozenset({"train", *ended}), completed=frozenset(ended), gate=gate)


def world(
    state: str, left: Sequence[str], ended: Sequence[str], gate: bool | None, endpoints: Sequence[RunEndpoint]
) -> Any:
    """All that there was of a run, where its root can be read."""
    statuses = left if "train" not in ended else ("Completed",)
    jobs = [job(status, number) for number, status in enumerate(statuses)]
    begun = frozenset(ended) | ({"train"} if jobs else frozenset())
    return Evidence(RUN, state, jobs, endpoints, Outputs(FOLDER, begun, frozenset(ended), gate))


def check(evidence: Evidence, succeeded: bool, failed_in: str) -> None:
    """With all evidence the verdict is right; with less of it, it is right or unknown."""
    truth = "succeeded" if succeeded else "failed"
    judged = verdict(evidence)
    assert (judged.outcome, judged.where) == (truth, "" if succeeded else failed_in)
    fewer: list[dict[str, Any]] = [
        {"outputs": None, "incomplete": {"outputs": "not in S3"}},
        {"jobs": (), "incomplete": {"jobs": "denied"}},
        {"endpoints": (), "incomplete": {"endpoints": "denied"}},
    ]
    for count in (1, 2, 3):
        for chosen in itertools.combinations(fewer, count):
            change: dict[str, Any] = {"incomplete": {}}
            for part in chosen:
                change |= part | {"incomplete": change["incomplete"] | part["incomplete"]}
            assert verdict(replace(evidence, **change)).outcome in (truth, "unknown"), change


@pytest.mark.parametrize("scenario", BACKEND)
def test_on_a_whole_backend(shared_kfp: Path, scenario: str) -> None:
    folder = shared_kfp / "backend" / scenario
    nodes = json.loads((folder / "nodes.json").read_text())["nodes"]
    (finish,) = [node for node in nodes if node["displayName"] == "finish"]
    stages = {node["displayName"]: node for node in nodes if node["templateName"] in EXECUTORS}
    # a retry by hand, after which the exit handler does not run again, overwrites the nodes
    was_retried = any(node["finishedAt"] > finish["finishedAt"] for node in stages.values())
    ended = [
        name
        for name in STAGES
        if stages.get(name, {}).get("phase") == "Succeeded" and stages[name]["finishedAt"] <= finish["startedAt"]
    ]
    conditions = [
        node["outputParameters"]["condition"] for node in nodes if node["displayName"] == "condition-1-driver"
    ]
    gate = conditions == ["true"] if "evaluate" in ended else None
    pods = json.loads((folder / "pods.json").read_text()).values()
    (finish,) = [values for pod in pods if "train_overrides" in (values := parameters(pod)) and "notify" in values]
    endpoints = [endpoint()] if "deploy" in ended else []
    if scenario == ENDPOINT_LEFT:
        endpoints = [endpoint("Creating", is_deployed=False)]
    state = json.loads((folder / "run.json").read_text())["state"]
    left = LEFT_BY_TRAIN.get(scenario, ())
    evidence = world(finish.get("status", {}).get("state", ""), left, ended, gate, endpoints)
    check(evidence, state == "SUCCEEDED" and not was_retried, failed_in(ended, left))


def parameters(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return ((pod.get("executor_input") or {}).get("inputs") or {}).get("parameterValues") or {}


def failed_in(ended: Sequence[str], left: Sequence[str]) -> str:
    if "train" not in ended:
        return "in train" if left else "before training"
    return "in deploy" if "evaluate" in ended else "in evaluate"


@pytest.mark.parametrize("scenario", DRIVER)
def test_by_drivers_of_other_versions(shared_kfp: Path, scenario: str) -> None:
    folder = shared_kfp / "driver" / scenario
    content = json.loads((folder / "nodes.json").read_text())
    phases = {node["path"].rpartition("/")[2]: node["phase"] for node in content["nodes"]}
    messages = {node["path"].rpartition("/")[2]: node["message"] for node in content["nodes"]}
    ended = [name for name in STAGES if phases.get(name) == "Succeeded"]
    gate = '"condition": "true"' in messages["condition-1-driver"] if "evaluate" in ended else None
    status = json.loads((folder / "finish.json").read_text())["status_that_finish_is_told"] or {"state": ""}
    left = LEFT_BY_TRAIN.get(scenario, ())
    evidence = world(status["state"], left, ended, gate, [endpoint()] if "deploy" in ended else [])
    check(evidence, content["workflow"] == "Succeeded", failed_in(ended, left))


FULL = outputs(*STAGES, gate=True)


@pytest.mark.parametrize("state", ["COMPLETE", "SUCCEEDED", "CACHED"])
def test_three_states_alone_prove_an_end(state: str) -> None:
    unseen = dict.fromkeys(("jobs", "endpoints", "outputs"), "denied")
    judged = verdict(Evidence(RUN, state, incomplete=unseen))
    assert (judged.outcome, judged.reason) == ("succeeded", f"KFP's state is {state}")


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "CANCELED", ""])
def test_any_other_state_proves_nothing(state: str) -> None:
    unseen = dict.fromkeys(("jobs", "endpoints", "outputs"), "denied")
    judged = verdict(Evidence(RUN, state, incomplete=unseen))
    assert judged.title == "outcome unknown, see the run"
    assert "jobs are not known: denied" in judged.reason
    seen = verdict(Evidence(RUN, state, [job("Completed")], [endpoint()], FULL))
    assert seen.outcome == "succeeded"
    assert ("it succeeded after a retry: KFP's state is FAILED" in seen.reason) == (state == "FAILED")


@pytest.mark.parametrize(
    ("jobs", "endpoints", "found", "title", "reason"),
    [
        (["Completed"], [endpoint()], FULL, "succeeded", "endpoint ncf-shop: InService, it serves this run's model"),
        (["Completed"], [endpoint("Updating")], None, "succeeded", "deployed and tested"),
        (["Failed", "Completed"], [], outputs("train", "evaluate", gate=False), "succeeded", "nothing was deployed"),
        (["Completed"], [], outputs("train", "evaluate", gate=True), "failed in deploy", "the run has no endpoint"),
        (
            ["Completed"],
            [endpoint(run="run-0")],
            outputs("train", "evaluate", gate=True),
            "failed in deploy",
            "endpoint ncf-shop: InService, it serves the model of run run-0",
        ),
        (
            ["Completed"],
            [endpoint(run="run-0")],
            None,
            "outcome unknown, see the run",
            "training job ncf-train-0: Completed",
        ),
        (
            ["Completed"],
            [endpoint(is_deployed=False)],
            outputs("train", "evaluate", gate=True),
            "failed in deploy",
            "untested; the update continues; after it, 'ncf clean --run run-1' deletes it",
        ),
        (
            ["Completed"],
            [endpoint("Updating", is_deployed=False, is_new=False)],
            None,
            "failed in deploy",
            "'ncf rollback ncf-shop' rolls it back",
        ),
        (
            ["Completed"],
            [endpoint("OutOfService")],
            None,
            "outcome unknown, see the run",
            "KFP's state is RUNNING, which proves nothing",
        ),
        (["Completed"], [], outputs("train", "evaluate"), "outcome unknown, see the run", ""),
        (["Completed"], [], outputs("train"), "failed in evaluate", f"no outputs in {FOLDER}/evaluate/"),
        (["Completed"], [], outputs(), "failed in train", f"no outputs in {FOLDER}/train/"),
        (["Completed"], [], Outputs(FOLDER, frozenset(), frozenset()), "outcome unknown, see the run", ""),
        (["Completed", "Stopped"], [], outputs(), "failed in train", "training job ncf-train-1: Stopped"),
        ([], [], outputs("train"), "outcome unknown, see the run", "no training job was found"),
        ([], [], Outputs(FOLDER, frozenset(), frozenset()), "failed before training", "started no training job"),
    ],
)
def test_what_the_evidence_says(
    jobs: list[str], endpoints: list[RunEndpoint], found: Outputs | None, title: str, reason: str
) -> None:
    listed = [job(status, number) for number, status in enumerate(jobs)]
    judged = verdict(Evidence(RUN, "RUNNING", listed, endpoints, found))
    assert judged.title == title
    assert reason in judged.reason


REGISTERED = ("train", "evaluate", "register")


@pytest.mark.parametrize(
    ("release", "found", "title", "reason"),
    [
        (
            "on_approval",
            outputs(*REGISTERED, gate=True),
            "succeeded",
            "release is on_approval, so nothing was deployed",
        ),
        ("never", outputs(*REGISTERED, gate=True), "succeeded", "release is never, so nothing was deployed"),
        ("never", outputs(*REGISTERED, gate=False), "succeeded", "the gate is closed"),
        ("at_once", outputs(*REGISTERED, gate=True), "failed in deploy", "the gate is open"),
        ("at_once", outputs(*REGISTERED, "deploy", gate=True), "succeeded", "deploy has succeeded"),
        ("on_approval", outputs("train", "evaluate", gate=True), "failed in register", f"in {FOLDER}/register/"),
        ("at_once", outputs("train", "evaluate", gate=False), "failed in register", "evaluate has succeeded"),
        ("on_approval", outputs("train"), "failed in evaluate", "no outputs"),
        ("", outputs("train", "evaluate", gate=True), "failed in deploy", "the gate is open"),
    ],
)
def test_a_release_that_waits_is_a_success_without_deploy(
    release: str, found: Outputs, title: str, reason: str
) -> None:
    judged = verdict(Evidence(RUN, "RUNNING", [job("Completed")], [], found, release=release))
    assert judged.title == title
    assert reason in judged.reason


@pytest.mark.parametrize(
    ("endpoints", "found", "title"),
    [
        ([endpoint()], outputs("deploy"), "succeeded"),
        ([endpoint()], None, "succeeded"),
        ([replace(endpoint(), run="later")], outputs("deploy"), "succeeded"),
        ([replace(endpoint(), run="earlier")], outputs(), "failed before deploy"),
        ([replace(endpoint(), is_deployed=False)], None, "failed in deploy"),
        ([replace(endpoint(), run="another")], None, "outcome unknown, see the run"),
        ([], None, "outcome unknown, see the run"),
    ],
)
def test_a_run_of_the_release_pipeline_trains_nothing(
    endpoints: list[RunEndpoint], found: Outputs | None, title: str
) -> None:
    judged = verdict(Evidence(RUN, "RUNNING", [], endpoints, found, trains=False))
    assert judged.title == title
    assert "training job" not in judged.reason


@pytest.mark.parametrize(
    ("state", "found", "title"),
    [
        ("RUNNING", outputs("monitor"), "succeeded"),
        ("FAILED", outputs("monitor"), "succeeded"),
        ("RUNNING", outputs(), "failed before monitor"),
        ("RUNNING", Outputs(FOLDER, frozenset({"monitor"}), frozenset()), "failed in monitor"),
        ("COMPLETE", None, "succeeded"),
        ("RUNNING", None, "outcome unknown, see the run"),
    ],
)
def test_a_run_of_the_pipeline_that_monitors_deploys_nothing(state: str, found: Outputs | None, title: str) -> None:
    judged = verdict(Evidence(RUN, state, [], [], found, trains=False, last="monitor"))
    assert judged.title == title
    assert "endpoint" not in judged.reason
