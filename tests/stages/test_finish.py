"""The exit handler, against an AWS account on this machine: what it finds of a run, what it says, and to whom."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from local_account import BUCKET, executor_input, local_account
from runs import deploy, job_of, left_behind, run_of, status, tags_of, train

from components.local.aws.errors import ApiError
from ncf.aws import session
from ncf.aws.names import ABANDONED_TAG, DEPLOYED_TAG, NAMESPACE_TAG, STAGE_TAG
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.sagemaker.runs import notification
from ncf.stage import execution
from ncf.stages.finish import Finish

ROOT = f"s3://{BUCKET}/root/ncf"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with (
        local_account(tmp_path_factory.mktemp("account")) as aws,
        patch.object(session, "_FIRST_PATIENCE_SECONDS", 0.0),
    ):
        yield aws
        assert aws.faults.coming() == []


@pytest.fixture
def run(tmp_path: Path) -> str:
    return f"run-{tmp_path.name}"


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ncf-{tmp_path.name}".replace("_", "-")[:60]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """A URL, what is posted there, and the statuses of the next answers (200 where there is none)."""
    posted: list[dict[str, Any]] = []
    statuses: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Location", "file:///secret")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Not shown."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with patch.object(notification, "_PAUSE_SECONDS", 0.0):
        yield f"http://127.0.0.1:{server.server_port}/secret", posted, statuses
    server.shutdown()
    server.server_close()


def put(run: str, stage: str, content: str = "{}", name: str = "metrics", execution: str = "a1b2/") -> None:
    """An output of a stage, where KFP uploads it."""
    key = f"root/ncf/{run}/{stage}/{execution}{name}"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content.encode())


def finish(folder: Path, run: str, state: str, *more: str, root: str = ROOT) -> str:
    """What the exit handler writes, as KFP starts it on a cluster with a pipeline root."""
    flags = ["--run-id", run, "--summary", str(folder / "summary"), *more]
    if state:
        flags += ["--status", json.dumps({"state": state, "error": {}, "pipelineJobResourceName": "ncf-x"})]
    uris = {"summary": f"{root}/{run}/finish/c3d4/summary"}
    execution.run(Finish, executor_input(Finish, flags, folder, uris))
    return (folder / "summary").read_text()


def title(summary: str) -> str:
    return summary.splitlines()[0].partition(": ")[2]


@pytest.mark.slow
def test_a_good_run_is_no_failure_whatever_kfp_says(
    account: Any, tmp_path: Path, run: str, endpoint: str, make_dataset: Callable[..., Path], webhook: Any
) -> None:
    """KFP said RUNNING in 9 of 10 runs that succeeded, and FAILED in one that did after a retry."""
    url, posted, _ = webhook
    train(tmp_path, make_dataset(), run)
    deploy(tmp_path, endpoint, run, 1)
    for stage, content in (("train", "{}"), ("evaluate", '{"gate_passed": 1.0}'), ("deploy", "{}")):
        put(run, stage, content)
    for state in ("RUNNING", "FAILED", "CANCELED", "", "COMPLETE", "SUCCEEDED", "CACHED"):
        summary = finish(tmp_path, run, state, "--notify", url, "--endpoint-name", endpoint)
        assert title(summary) == "succeeded"
        assert ("it succeeded after a retry" in summary) == (state == "FAILED")
        assert f"- KFP's state in the exit handler: {state or 'none'}" in summary
    assert posted == []
    assert f"- endpoint {endpoint}: " in summary
    assert "InService, it serves this run's model" in summary
    assert "- training job ncf-train-" in summary
    assert "no training job was in progress" in summary

    finish(tmp_path, run, "RUNNING", "--notify", url, "--notify-on", "always", "--endpoint-name", endpoint)
    (message,) = posted
    assert message["state"] == "succeeded"
    assert [entry["status"] for entry in message["jobs"]] == ["Completed"]
    assert [(entry["name"], entry["status"]) for entry in message["endpoints"]] == [(endpoint, "InService")]
    assert "https://" not in message["text"], "no console shows what the stand-in holds"


def test_the_endpoint_alone_tells_where_the_root_is_not_s3(
    account: Any, tmp_path: Path, run: str, endpoint: str, make_dataset: Callable[..., Path], webhook: Any
) -> None:
    url, posted, _ = webhook
    train(tmp_path, make_dataset(), run)
    minio = "minio://mlpipeline/v2/artifacts/ncf"
    summary = finish(tmp_path, run, "RUNNING", "--notify", url, root=minio)
    assert title(summary) == "outcome unknown, see the run"
    assert f"the run's outputs are not known completely: they are at {minio}/{run}/finish" in summary
    assert "outcome unknown, see the run; KFP's state is RUNNING, which proves nothing" in posted[-1]["text"]
    deploy(tmp_path, endpoint, run, 1)
    assert title(finish(tmp_path, run, "RUNNING", "--notify", url, root=minio)) == "succeeded", "found by its tags"
    assert len(posted) == 1


def test_an_endpoint_whose_deploy_was_cut_short_is_no_success(
    account: Any, tmp_path: Path, run: str, endpoint: str, make_dataset: Callable[..., Path]
) -> None:
    """It bears the run's tag from its creation on, and is in service: but nobody has tested it, and deploy is gone."""
    train(tmp_path, make_dataset(), run)
    with patch.object(SmokeTest, "run", side_effect=SystemExit(143)), pytest.raises(SystemExit):
        deploy(tmp_path, endpoint, run, 1)
    summary = finish(tmp_path, run, "RUNNING", root="minio://bucket/ncf")
    assert title(summary) == "failed in deploy"
    assert f"- endpoint {endpoint}: " in summary
    assert "InService, this run's model, untested" in summary
    assert f"'ncf clean --run {run}' deletes it" in summary


def test_a_closed_gate_is_no_failure_and_an_open_one_asks_for_an_endpoint(
    account: Any, tmp_path: Path, run: str, endpoint: str, make_dataset: Callable[..., Path], webhook: Any
) -> None:
    url, posted, _ = webhook
    train(tmp_path, make_dataset(), run)
    put(run, "train")
    summary = finish(tmp_path, run, "RUNNING", "--notify", url)
    assert title(summary) == "failed in evaluate"
    assert f"evaluate has no outputs in {ROOT}/{run}/evaluate/" in posted[-1]["reason"]

    put(run, "evaluate", "no JSON")
    assert title(finish(tmp_path, run, "RUNNING")) == "outcome unknown, see the run"
    put(run, "evaluate", '{"gate_passed": 0.0}')
    summary = finish(tmp_path, run, "RUNNING", "--notify", url)
    assert title(summary) == "succeeded"
    assert "the gate is closed, so nothing was deployed" in summary
    assert len(posted) == 1

    put(run, "evaluate", '{"gate_passed": 1.0}')
    summary = finish(tmp_path, run, "RUNNING", "--notify", url)
    assert title(summary) == "failed in deploy"
    assert "the run has no endpoint" in summary
    assert posted[-1]["state"] == "failed"

    deploy(tmp_path, endpoint, f"{run}-of-others", 1)
    more = ("--deploy-overrides", json.dumps({"endpoint_name": endpoint}))
    summary = finish(tmp_path, run, "RUNNING", "--notify", url, *more)
    assert title(summary) == "failed in deploy"
    assert f"endpoint {endpoint}: InService, it serves the model of run {run}-of-others" in summary, (
        "it was rolled back"
    )


def test_a_model_that_waits_for_approval_is_no_failure(account: Any, tmp_path: Path, run: str) -> None:
    put(run, "evaluate", '{"gate_passed": 1.0}')
    waits = ("--release", "on_approval")
    assert title(finish(tmp_path, run, "RUNNING", *waits)) == "failed in register"
    put(run, "register", "# ncf version 1", name="summary")
    summary = finish(tmp_path, run, "RUNNING", *waits)
    assert title(summary) == "succeeded"
    assert "release is on_approval, so nothing was deployed" in summary
    assert title(finish(tmp_path, run, "RUNNING", "--release", "at_once")) == "failed in deploy"


def test_outputs_as_the_first_kfp_of_version_2_names_them(account: Any, tmp_path: Path, run: str) -> None:
    put(run, "evaluate", '{"gate_passed": 0}', execution="")
    assert title(finish(tmp_path, run, "")) == "succeeded"


def test_real_names_of_outputs(account: Any, shared_kfp: Path, tmp_path: Path) -> None:
    """Where a real backend put each output of a run, and the state that it gave the exit handler."""
    pods = json.loads((shared_kfp / "backend" / "03-gate-closed" / "pods.json").read_text()).values()
    given = [pod["executor_input"] for pod in pods if pod.get("executor_input")]
    uris = [entry["artifacts"][0]["uri"] for pod in given for entry in pod["outputs"]["artifacts"].values()]
    (handler,) = [pod for pod in given if "notify" in pod["inputs"]["parameterValues"]]
    for uri in uris:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert bucket == BUCKET
        body = '{"gate_passed": 0}' if "/evaluate/" in uri else "{}"
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
    handler["inputs"]["parameterValues"]["notify"] = ""
    handler["outputs"]["outputFile"] = str(tmp_path / "output.json")
    handler["outputs"]["artifacts"] = {"summary": handler["outputs"]["artifacts"]["summary"]}
    handler["outputs"]["artifacts"]["summary"]["artifacts"][0]["customPath"] = str(tmp_path / "summary")
    execution.run(Finish, ["--executor-input", json.dumps(handler)])
    summary = (tmp_path / "summary").read_text()
    assert title(summary) == "succeeded"
    assert "the gate is closed" in summary
    assert "RUNNING" in summary


def test_a_failed_job_is_named_with_its_reason(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path], webhook: Any
) -> None:
    url, posted, _ = webhook
    with pytest.raises(RemoteError):
        train(tmp_path, make_dataset(), run, "--epochs", "13", "--max-attempts", "1")
    summary = finish(tmp_path, run, "RUNNING", "--notify", url)
    assert title(summary) == "failed in train"
    assert "Failed, AlgorithmError: users: there are none" in summary
    assert posted[-1]["text"].startswith(f"NCF run {run}: failed in train; training job ncf-train-")


def test_a_job_that_is_left_is_stopped(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path], webhook: Any
) -> None:
    url, posted, statuses = webhook
    statuses.append(500)
    with left_behind(account, tmp_path, make_dataset(), run) as job:
        assert title(finish(tmp_path, f"{run}-of-others", "RUNNING")) == "failed before training"
        assert (status(job), run_of(job)) == ("InProgress", run)
        assert ABANDONED_TAG not in tags_of(job)
        account.faults.add("refuse", "StopTrainingJob", error="AccessDeniedException")
        summary = finish(tmp_path, run, "RUNNING")
        assert "InProgress, Starting, abandoned, not stopped: AWS refused stop_training_job: Access" in summary
        assert tags_of(job)[ABANDONED_TAG].startswith("finish "), "so that a retry of the run buys the next"
        account.faults.add("refuse", "AddTags", error="AccessDeniedException")
        summary = finish(tmp_path, run, "RUNNING", "--notify", url)
        assert status(job) in ("Stopping", "Stopped")
        assert "abandoned, stopped, not marked as abandoned: AWS refused add_tags" in summary
    assert title(summary) == "failed in train"
    assert f"- training job {job}: " in summary
    assert "InProgress, Starting, abandoned, stopped" in summary
    assert posted[-1]["stopped"] == [job]
    assert f"training job {job}: InProgress, Starting, abandoned, stopped" in posted[-1]["text"]
    assert len(posted) == 2, "the first was answered with 500"


@pytest.mark.parametrize("changed", [{NAMESPACE_TAG: "team-b"}, {STAGE_TAG: ""}], ids=str)
def test_a_job_of_another_owner_is_not_stopped_whatever_its_run(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path], changed: dict[str, str]
) -> None:
    """Anybody can write a tag."""
    with left_behind(account, tmp_path, make_dataset(), run) as job:
        arn = account._api._jobs.of({"TrainingJobName": job}).arn
        tags = {key: value for key, value in {**tags_of(job), **changed}.items() if value}
        account._api.tags.set(arn, [{"Key": key, "Value": value} for key, value in tags.items()])
        assert title(finish(tmp_path, run, "RUNNING")) == "failed before training"
        assert status(job) == "InProgress"


def test_jobs_with_another_prefix_are_found_by_it(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path]
) -> None:
    train(tmp_path, make_dataset(), run, "--train-overrides", '{"job_prefix": "ncf-train-team-b"}')
    assert title(finish(tmp_path, run, "RUNNING")) == "failed before training"
    summary = finish(tmp_path, run, "RUNNING", "--train-overrides", '{"job_prefix": "ncf-train-team-b"}')
    assert "- training job ncf-train-team-b-" in summary


@pytest.mark.parametrize("operation", ["ListTrainingJobs", "ListTags"])
def test_what_one_way_to_jobs_is_refused_another_finds(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path], operation: str
) -> None:
    with left_behind(account, tmp_path, make_dataset(), run) as job:
        account.faults.add("refuse", operation, error="AccessDeniedException", times=2)
        summary = finish(tmp_path, run, "RUNNING")
        account.faults.clear()
        assert status(job) in ("Stopping", "Stopped")
        is_known = operation == "ListTags"  # it is denied for the jobs of other namespaces
        assert ("the run's jobs are not known completely" in summary) == (not is_known)
        assert "no training job was in progress" not in summary


def test_a_job_that_may_not_be_described_does_not_keep_the_others(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path]
) -> None:
    describe = account._api.describe_training_job
    with left_behind(account, tmp_path, make_dataset(), run) as job:
        denied = "ncf-train-fedcba9876543210"  # listed first
        account.faults.add("hold", denied, state="Starting", seconds=60)
        boto3.client("sagemaker").create_training_job(**{**job_of(account, job).request, "TrainingJobName": denied})

        def refuse(request: dict[str, Any]) -> dict[str, Any]:
            if request["TrainingJobName"] == denied:
                raise ApiError("AccessDeniedException", "not authorized to perform: sagemaker:DescribeTrainingJob")
            return dict(describe(request))

        with patch.object(account._api, "describe_training_job", refuse):
            summary = finish(tmp_path, run, "FAILED")
        boto3.client("sagemaker").stop_training_job(TrainingJobName=denied)
        assert status(job) in ("Stopping", "Stopped")
    assert "the run's jobs are not known completely" in summary


def test_a_monitoring_that_fails_is_notified(account: Any, tmp_path: Path, run: str, webhook: Any) -> None:
    url, posted, _ = webhook
    of_monitor = ("--trains", "false", "--last-stage", "monitor", "--notify", url)
    assert "failed before monitor" in finish(tmp_path, run, "RUNNING", *of_monitor)
    assert [body["state"] for body in posted] == ["failed"]
    put(run, "monitor", "{}")
    assert "monitor has succeeded" in finish(tmp_path, run, "RUNNING", *of_monitor)
    assert len(posted) == 1


def test_a_metrics_object_that_is_a_folder_too_fails_no_run(account: Any, tmp_path: Path, run: str) -> None:
    put(run, "evaluate", '{"gate_passed": 0}')
    put(run, "evaluate", "x", name="metrics/x")
    assert "the gate is closed" in finish(tmp_path, run, "RUNNING")


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [("1", "0", "succeeded"), ("0", "1", "failed in deploy"), ("1", '"no"', "outcome unknown")],
)
def test_of_several_evaluations_the_latest_counts(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path], earlier: str, later: str, expected: str
) -> None:
    train(tmp_path, make_dataset(), run)
    put(run, "train")
    put(run, "evaluate", f'{{"gate_passed": {earlier}}}', execution="z/")
    time.sleep(1.1)  # S3 tells whole seconds
    put(run, "evaluate", f'{{"gate_passed": {later}}}', execution="a/")
    assert title(finish(tmp_path, run, "RUNNING")).startswith(expected)


def test_tags_that_are_not_indexed_yet_hide_no_job(
    account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path]
) -> None:
    with pytest.raises(RemoteError):
        train(tmp_path, make_dataset(), run, "--epochs", "13", "--max-attempts", "1")
    with patch.object(
        account._api.tags, "get_resources", lambda _: {"ResourceTagMappingList": [], "PaginationToken": ""}
    ):
        assert title(finish(tmp_path, run, "RUNNING")) == "failed in train"


def test_a_root_that_may_not_be_read(account: Any, tmp_path: Path, run: str, make_dataset: Callable[..., Path]) -> None:
    train(tmp_path, make_dataset(), run)
    put(run, "train")
    account.faults.add("refuse", "S3:GET", error="AccessDenied")
    summary = finish(tmp_path, run, "RUNNING")
    assert title(summary) == "outcome unknown, see the run"
    assert f"the run's outputs are not known completely: {ROOT}/{run}/train: AccessDenied" in summary


@pytest.mark.parametrize(
    ("operation", "error", "said"),
    [
        ("ListTrainingJobs", "AccessDeniedException", "jobs are not known: AWS refused list_training_jobs"),
        ("DescribeEndpoint", "AccessDeniedException", "endpoints are not known: AWS refused describe_endpoint"),
        ("ListTrainingJobs", "drop", "AWS cannot be reached"),
    ],
)
def test_what_aws_refuses_to_tell_fails_no_run(
    account: Any, tmp_path: Path, run: str, webhook: Any, operation: str, error: str, said: str
) -> None:
    url, posted, _ = webhook
    put(run, "train")
    account.faults.add("refuse", operation, error=error, times=10)
    summary = finish(tmp_path, run, "RUNNING", "--notify", url)
    account.faults.clear()
    assert title(summary) == "outcome unknown, see the run"
    assert said in summary
    assert said in posted[-1]["text"]


def test_nothing_can_be_seen_without_a_region(
    account: Any, tmp_path: Path, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    summary = finish(tmp_path, run, "COMPLETE")
    assert title(summary) == "succeeded"
    assert "the run's jobs are not known completely: parameter 'region' is empty" in summary


def test_overrides_say_where_to_look(account: Any, tmp_path: Path, run: str) -> None:
    overrides = ("--train-overrides", '{"region": "nowhere"}', "--deploy-overrides", '{"profile": "nobody"}')
    summary = finish(tmp_path, run, "RUNNING", *overrides)
    assert "the run's jobs are not known completely: parameter 'region' is 'nowhere'" in summary
    assert "the run's endpoints are not known completely: parameter 'profile'" in summary


def test_a_topic_gets_the_message(account: Any, tmp_path: Path, run: str) -> None:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="runs")["TopicArn"]
    queue = sqs.create_queue(QueueName="runs")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    finish(tmp_path, run, "RUNNING", "--notify", topic)
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    content = json.loads(message["Body"])
    assert content["Subject"] == f"NCF run {run}: failed before training"[:100]
    assert "the run has started no training job" in content["Message"]


def test_a_receiver_that_fails_ends_no_run_and_its_secret_stays_one(
    account: Any, tmp_path: Path, run: str, webhook: Any, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    url, _, statuses = webhook
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    missing = "arn:aws:sns:us-east-1:123456789012:nobody"
    for whom, answers, said in (
        (url, [500] * 3, "the notification was not delivered: parameter 'notify': POST to 127.0.0.1 failed: HTTP 500"),
        (url, [302] * 3, "POST to 127.0.0.1 failed: HTTP 302"),
        (f"http://127.0.0.1:{port}/secret", [], "POST to 127.0.0.1 failed: Connection refused"),
        ("http://127.0.0.1:secret/", [], "POST to 127.0.0.1 failed: InvalidURL"),
        ("http://[secret/", [], "POST to its host failed: ValueError"),
        (missing, [], "the notification was not delivered: AWS refused publish: NotFound"),
    ):
        statuses[:] = answers
        summary = finish(tmp_path, run, "RUNNING", "--notify", whom)
        assert title(summary) == "failed before training"
        assert said in summary
        assert said in caplog.text
        assert "secret" not in summary + caplog.text + "".join(capsys.readouterr())


def test_an_address_that_is_neither_topic_nor_url_fails_no_run(account: Any, tmp_path: Path, run: str) -> None:
    """Given in the UI, where nobody checks it, it must not keep a job from being stopped."""
    summary = finish(tmp_path, run, "FAILED", "--notify", "htps://example.org/secret")
    assert "the notification was not delivered: parameter 'notify': expected the ARN of an SNS topic" in summary
    assert "secret" not in summary


def test_the_mark_of_deploy_is_the_config_that_it_tested(account: Any, tmp_path: Path, run: str, endpoint: str) -> None:
    versions = [deploy(tmp_path, endpoint, f"{run}-{seed}", seed) for seed in (1, 2)]
    client = boto3.client("sagemaker")
    arn = client.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    tags = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}
    assert tags[DEPLOYED_TAG] == versions[1]
