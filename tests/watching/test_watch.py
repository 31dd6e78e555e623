"""``ncf watch``: from a queue on the stand-in to runs of a KFP, until SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_kfp import FakeKfp, serving
from trigger_world import rules_of

from components.cluster.trigger_resources import template
from components.local.aws import LocalAws, Processes, RemoteAws
from ncf.stage import command
from ncf.watching import queue as module
from ncf.watching import watcher as watching

RULES = """
rules:
  - {name: each-file, on: {objects: {bucket: data}}, pipeline: ncf, parameters: {data_uri: "{uri}"}}
  - {name: release, on: {approved: ncf}, pipeline: ncf-release}
"""


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteAws]:
    with LocalAws(tmp_path / "aws", Processes({})) as aws:
        aws.create_bucket("data")
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(module, "_WAIT_SECONDS", 1)
        monkeypatch.setattr(watching, "_PAUSE_AFTER_FAILURE", 0.05)
        yield RemoteAws(aws.environment)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_event_becomes_a_run_and_sigterm_ends_the_watcher(
    account: RemoteAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, kfp, health = rules_of(tmp_path, RULES), FakeKfp(), []
    urls = account.deploy_triggers(template(rules), ["data"])
    kfp.pipelines["p"] = {"pipeline_id": "p", "display_name": "ncf"}
    kfp.versions["v"] = {"pipeline_version_id": "v", "display_name": "v"}
    port = free_port()
    services = account._services

    def play() -> None:
        try:
            services.s3.put_object(Bucket="data", Key="a.csv", Body=b"x")
            until(lambda: kfp.runs)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                health.append(answer.status)
            sqs = services.client("sqs")
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

            def is_empty() -> bool:
                found = sqs.get_queue_attributes(QueueUrl=urls["QueueUrl"], AttributeNames=names)["Attributes"]
                return set(found.values()) == {"0"}

            until(is_empty)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with serving(kfp) as host:
        player = threading.Thread(target=play)
        player.start()
        before = signal.getsignal(signal.SIGTERM)
        command.main(
            [
                "watch",
                f"--rules={tmp_path}/triggers.yaml",
                f"--queue={urls['QueueUrl']}",
                f"--dead-letters={urls['DeadLetterQueueUrl']}",
                f"--kfp-host={host}",
                f"--health-port={port}",
            ]
        )
        player.join()
    assert signal.getsignal(signal.SIGTERM) == before
    assert health == [200]
    ((run,),) = [list(kfp.runs.values())]
    assert run["runtime_config"]["parameters"] == {"data_uri": "s3://data/a.csv"}
    out = capsys.readouterr().out.splitlines()
    assert "for each-file, release; health on port" in out[0]
    assert out[-1] == "stopped; messages in progress were returned"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rules=none.yaml"], "rules: 'none.yaml' cannot be read as YAML: No such file"),
        (["--queue=queue"], "parameter 'queue' is 'queue'"),
        (["--notify=me"], "parameter 'notify': expected the ARN of an SNS topic"),
        (["--health-port=-1"], "parameter 'health_port'"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: list[str], said: str, account: RemoteAws, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--rules": "r.yaml", "--queue": "https://sqs/q", "--dead-letters": "https://sqs/d"}
    given |= dict(flag.split("=", 1) for flag in flags)
    with pytest.raises(SystemExit, match="2"):
        command.main(["watch", *(f"{name}={value}" for name, value in given.items())])
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_people_are_told_by_a_topic_or_a_url(account: RemoteAws, monkeypatch: pytest.MonkeyPatch) -> None:
    from ncf.aws.settings import AwsAccess
    from ncf.sagemaker.runs import notification
    from ncf.watching.notices import teller

    posted: list[tuple[str, Any]] = []
    monkeypatch.setattr(notification, "_post", lambda url, message: posted.append((url, message.body())))
    services = account._services
    topic = services.client("sns").create_topic(Name="runs")["TopicArn"]
    queue = services.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:inbox"
    services.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for recipient in (topic, "https://chat.example.com/hook", ""):
        teller(AwsAccess(), recipient)("NCF trigger 'release' failed", "there is no pipeline")
    (message,) = services.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    text = "NCF trigger 'release' failed: there is no pipeline"
    assert json.loads(message["Body"])["Message"] == text
    assert posted == [
        ("https://chat.example.com/hook", {"text": text, "state": "failed", "reason": "there is no pipeline"})
    ]
