"""The queue of the template, on the stand-in: events arrive in it, and wait, return, and are buried as the watcher says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from model_packages import package_request
from trigger_world import World, breached, rules_of

from components.cluster.trigger_resources import template
from components.local.aws import LocalAws, Processes, RemoteAws
from ncf.aws import session
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError
from ncf.kfp_api.runs import NewRun
from ncf.operators.approve import Approve
from ncf.operators.reject import Reject
from ncf.stage import execution
from ncf.watching import queue as module
from ncf.watching.queue import REASON, Queue
from ncf.watching.watcher import Watcher

RULES = """
rules:
  - {name: new-data, on: {objects: {bucket: data, prefix: "in*/", suffix: .csv}}, window: 15m, pipeline: ncf}
  - {name: all-files, on: {objects: {bucket: data}}, pipeline: ncf, parameters: {data_uri: "{uri}"}}
  - {name: release, on: {approved: ncf}, pipeline: ncf-release, parameters: {package: "{package}"}}
  - {name: slow, on: {alarm: ncf-shop-latency}, pipeline: ncf}
  - {name: drift, on: {breach: ncf-shop}, pipeline: ncf}
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteAws]:
    with LocalAws(tmp_path_factory.mktemp("aws"), Processes({})) as aws:
        aws.create_bucket("data")
        yield RemoteAws(aws.environment)


class Deployed:
    """The stack of the rules in the account.

    Attributes:
        queue: of the rules.
        urls: outputs of the stack.
    """

    def __init__(self, account: RemoteAws, folder: Path) -> None:
        self.rules = rules_of(folder, RULES)
        self.urls = account.deploy_triggers(template(self.rules), ["data"])
        self.queue = Queue(Aws(AwsAccess()), self.urls["QueueUrl"], self.urls["DeadLetterQueueUrl"])
        self._account = account

    def client(self, service: str) -> Any:
        return self._account._services.client(service)

    def received(self) -> list[tuple[str, str]]:
        """Rule and subject of each message; they are deleted."""
        found = []
        while messages := self.queue.receive():
            for message in messages:
                cause = self.rules[message.rule].on.kind.cause(json.loads(message.body))
                found.append((message.rule, cause.subject))
                self.queue.delete(message)
        return sorted(found)


@pytest.fixture
def deployed(account: RemoteAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0)
    return Deployed(account, tmp_path)


def test_objects_reach_each_rule_that_they_match(deployed: Deployed) -> None:
    """A prefix is taken to the letter, also a star in it."""
    for key in ("in*/a.csv", "in*/a.txt", "inner/a.csv"):
        deployed.client("s3").put_object(Bucket="data", Key=key, Body=b"x")
    assert deployed.received() == [
        ("all-files", "s3://data/in*/a.csv"),
        ("all-files", "s3://data/in*/a.txt"),
        ("all-files", "s3://data/inner/a.csv"),
        ("new-data", "s3://data/in*/a.csv"),
    ]


def test_an_approval_is_one_message_and_what_a_release_records_is_none(deployed: Deployed) -> None:
    sagemaker = deployed.client("sagemaker")
    for group in ("ncf", "other"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
        arn = sagemaker.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"]
        for status in ("Approved", "Rejected"):
            sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)
    arn = arn.replace("other", "ncf")
    properties = {"ncf:endpoint": "ncf-shop"}
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties=properties)
    assert deployed.received() == [("release", "ncf/1")]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties=properties)
    assert deployed.received() == [("release", "ncf/1")]


def test_each_decision_of_ncf_approve_starts_one_release(deployed: Deployed) -> None:
    """It writes status and properties at once; a repetition changes nothing, and a rejection starts nothing."""
    sagemaker, world = deployed.client("sagemaker"), World(deployed.rules)
    with suppress(sagemaker.exceptions.ClientError):  # another test has made it
        sagemaker.create_model_package_group(ModelPackageGroupName="ncf")
    arn = sagemaker.create_model_package(**package_request("ncf"))["ModelPackageArn"]
    deployed.received()
    for command in (Approve, Approve, Reject, Approve):
        execution.run(command, [arn, "--note", "looked at"])
        world.time.now = datetime.now(UTC)
        for message in deployed.queue.receive():
            world.send(message.rule, message.body)
            deployed.queue.delete(message)
        world.drain()
        time.sleep(1.0)  # decisions have whole seconds
    assert [(request.pipeline, request.arguments) for _, _, request in world.kfp.runs] == [
        ("ncf-release", {"package": arn})
    ] * 2


def test_an_alarm_is_one_message_for_each_time_it_goes_off(deployed: Deployed) -> None:
    cloudwatch = deployed.client("cloudwatch")
    for name in ("ncf-shop-latency", "other"):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            MetricName="ModelLatency",
            Namespace="AWS/SageMaker",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            Statistic="Sum",
        )
        for state in ("ALARM", "ALARM", "OK"):
            cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    assert deployed.received() == [("slow", "ncf-shop-latency")]


def test_a_breach_of_the_monitor(deployed: Deployed) -> None:
    for endpoint in ("ncf-shop", "other"):
        detail = json.dumps(breached(endpoint, "2026-11-29T02:00:00Z"))
        entry = {"Source": "ncf.monitor", "DetailType": "NCF Monitor Breach", "Detail": detail}
        deployed.client("events").put_events(Entries=[entry])
    assert deployed.received() == [("drift", "ncf-shop monitor")]


def test_clients_cannot_put_events_of_aws(deployed: Deployed) -> None:
    detail = json.dumps({"alarmName": "ncf-shop-latency", "state": {"value": "ALARM"}})
    breach = json.dumps(breached("ncf-shop", "2026-11-29T02:00:00Z"))
    answer = deployed.client("events").put_events(
        Entries=[
            {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change", "Detail": detail},
            {"Source": "ncf.monitor", "DetailType": "NCF Monitor Breach", "Detail": breach},
        ]
    )
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert deployed.received() == [("drift", "ncf-shop monitor")]


def test_messages_wait_return_and_are_buried(deployed: Deployed) -> None:
    for name in ("a", "b"):
        deployed.client("s3").put_object(Bucket="data", Key=name, Body=b"x")
    first, second = deployed.queue.receive()
    assert (first.rule, first.receives) == ("all-files", 1)
    assert deployed.queue.receive() == []
    deployed.queue.hold(second, 0)
    assert deployed.queue.receive() == [], "the rule waits for its first message"
    deployed.queue.hold(first, 7 * 86_400)  # SQS accepts 12 h at most
    deployed.queue.hold(first, 0)
    again = deployed.queue.receive()
    assert [message.id for message in again] == [first.id, second.id]
    assert again[0].receives == 2
    deployed.queue.bury(again[0], "there is no pipeline 'unknown'")
    deployed.queue.delete(again[1])
    assert deployed.queue.receive() == []
    buried = deployed.client("sqs").receive_message(
        QueueUrl=deployed.urls["DeadLetterQueueUrl"], MessageAttributeNames=["All"]
    )["Messages"]
    assert [message["Body"] for message in buried] == [first.body]
    assert buried[0]["MessageAttributes"][REASON]["StringValue"] == "there is no pipeline 'unknown'"


def test_a_watcher_of_this_queue(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        deployed.client("s3").put_object(Bucket="data", Key="c", Body=b"x")
    created: list[NewRun] = []

    class Kfp:
        def find(self, _: str, name: str) -> list[Any]:
            from datetime import UTC, datetime

            from ncf.kfp_api.runs import Run

            return [Run("1", datetime.now(UTC), "RUNNING") for run in created if run.name == name]

        def create(self, run: NewRun) -> str:
            created.append(run)
            return "1"

        def terminate(self, run_id: str) -> None:
            raise AssertionError(run_id)

    watcher = Watcher(deployed.queue, Kfp(), deployed.rules, lambda *_: None)
    while watcher.poll():
        pass
    assert [run.arguments for run in created[:1]] == [{"data_uri": "s3://data/c"}]
    assert len({run.name for run in created}) == len(created)


def test_a_queue_that_does_not_exist(deployed: Deployed) -> None:
    queue = Queue(Aws(AwsAccess()), f"{deployed.urls['QueueUrl'][:-5]}-none.fifo", "https://x/y")
    with pytest.raises(RemoteError, match="does not exist"):
        queue.receive()


def test_a_queue_that_cannot_be_reached_is_said_at_once(
    deployed: Deployed, account: RemoteAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher looks whether it is to end before it polls again."""
    of_botocore = 4
    account.add_fault(
        {"kind": "refuse", "name": "ReceiveMessage", "error": "ThrottlingException", "times": of_botocore}
    )
    monkeypatch.setattr(session.time, "sleep", lambda _: None)
    with pytest.raises(RemoteError, match="ThrottlingException"):
        deployed.queue.receive()
    assert deployed.queue.receive() == []


def test_a_bucket_that_does_not_exist(account: RemoteAws, deployed: Deployed) -> None:
    with pytest.raises(InputError, match="the bucket 'none' cannot send events"):
        account.deploy_triggers(template(deployed.rules), ["none"])
