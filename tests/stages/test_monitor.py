"""The monitor stage against an account on this machine: a live endpoint, its captured requests, messages."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from captured import of_user, write
from local_account import BUCKET, local_account
from random_model import random_model
from runs import deploy
from trigger_world import World, rules_of

from ncf.errors import InputError, RemoteError
from ncf.stage.execution import run
from ncf.stages.monitor import MARKERS, Monitor
from ncf.storage import list_objects, upload

CAPTURE = f"s3://{BUCKET}/capture"
SHOP = "ncf-shop"
OUTPUTS = ("report", "metrics", "summary", "figures", "breached")
MAY = ("--since", "2026-05-04")
RULE = f"rules:\n  - name: drift\n    on: {{breach: {SHOP}}}\n    pipeline: ncf\n"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An account with an endpoint that captures half of the requests."""
    folder = tmp_path_factory.mktemp("account")
    with local_account(folder) as aws:
        capture = ("--data-capture-s3-uri", CAPTURE, "--data-capture-percent", "50")
        deploy(folder, SHOP, "run-1", 1, *capture)
        deploy(folder, "ncf-silent", "run-1", 1)
        yield aws


@pytest.fixture
def markers(account: Any, tmp_path: Path) -> str:
    return f"s3://{BUCKET}/markers/{tmp_path.name}"


def monitored(folder: Path, *flags: str, endpoint: str = SHOP) -> dict[str, Any]:
    """Outputs of the stage."""
    folder.mkdir(exist_ok=True)
    paths = {name: folder / name for name in OUTPUTS}
    run(Monitor, [*(f"--{name}={path}" for name, path in paths.items()), f"--endpoint-name={endpoint}", *flags])
    read = {name: path.read_text() for name, path in paths.items()}
    return {**read, **{name: json.loads(read[name]) for name in ("metrics", "figures", "breached")}}


def captured(folder: Path, drifting: bool) -> str:
    """Captured requests of all users of the model, to half of whom drifting traffic adds as many unknown ones."""
    known = [
        of_user(f"u{number % 12}", [f"i{(number + place) % 40}" for place in range(10)], number * 60.0)
        for number in range(240)
    ]
    new = [of_user(f"x{number}", ["i1"], number * 60.0, "popular") for number in range(1000)]
    write(folder / "captured", SHOP, [*known, *(new if drifting else [])])
    return str(folder / "captured")


def rule_of_breaches() -> list[dict[str, Any]]:
    """Events on the account's bus: of the log group that a rule sends them to."""
    logs = boto3.client("logs")
    return [
        json.loads(event["message"])
        for stream in logs.describe_log_streams(logGroupName="/aws/events/breaches")["logStreams"]
        for event in logs.get_log_events(logGroupName="/aws/events/breaches", logStreamName=stream["logStreamName"])[
            "events"
        ]
    ]


@pytest.fixture
def events(account: Any) -> Iterator[None]:
    """A rule that keeps the events of breaches."""
    logs, events = boto3.client("logs"), boto3.client("events")
    logs.create_log_group(logGroupName="/aws/events/breaches")
    pattern = {"source": ["ncf.monitor"], "detail-type": ["NCF Monitor Breach"]}
    events.put_rule(Name="breaches", EventPattern=json.dumps(pattern))
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/breaches"
    events.put_targets(Rule="breaches", Targets=[{"Id": "logs", "Arn": arn}])
    yield
    events.remove_targets(Rule="breaches", Ids=["logs"])
    events.delete_rule(Name="breaches")
    logs.delete_log_group(logGroupName="/aws/events/breaches")


def test_a_live_endpoint(account: Any, tmp_path: Path) -> None:
    for number in range(20):
        account.invoke(SHOP, {"users": [f"u{number % 12}"], "k": 5})
    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = monitored(tmp_path / "out", "--since", since, "--hours", "2")
    figures = found["figures"]
    assert figures["total"]["records"] == 10, "half of them"
    assert not figures["total"]["unreadable"]
    assert figures["sampling_percent"] == 50
    assert figures["service"]["invocations"] == 21, "with the smoke test"
    assert figures["service"]["errors_5xx"] == 0
    assert figures["service"]["hours"][0]["latency_p99_ms"] > 0
    assert figures["total"]["sources"] == {"model": 10}
    assert not found["breached"]
    assert "50 % of the requests are captured" in found["summary"]
    assert "The window has not ended." in found["report"]
    assert found["metrics"]["lists"] == 10


def test_a_window_without_requests_says_so_and_is_no_breach(account: Any, tmp_path: Path) -> None:
    found = monitored(tmp_path / "out", *MAY)
    assert "no request was captured" in found["summary"]
    assert not found["breached"]
    assert found["figures"]["window"]["is_empty"]


def test_drift_is_notified_once_and_sends_one_event(account: Any, events: None, markers: str, tmp_path: Path) -> None:
    topic = boto3.client("sns").create_topic(Name="breaches")["TopicArn"]
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=True), "--markers-uri", markers, "--notify", topic)
    found = [monitored(tmp_path / f"out-{number}", *flags, "--retrain", "true") for number in range(3)]
    assert [one["breached"] for one in found] == [True, True, True]
    (event,) = rule_of_breaches()
    assert (event["source"], event["detail-type"]) == ("ncf.monitor", "NCF Monitor Breach")
    assert event["resources"][0].endswith(f":endpoint/{SHOP}")
    detail = event["detail"]
    assert (detail["cause"], detail["endpoint"], detail["window"]) == ("monitor", SHOP, "2026-05-04T00:00:00Z-24h")
    assert set(detail["limits"]) == {"max_popular", "max_unknown_users"}
    assert len(sent(topic)) == 1
    assert "An event was sent" in found[0]["summary"]
    assert "The event for this window was sent before." in found[1]["summary"]
    assert "The notification of this window was sent before." in found[2]["report"]


def sent(topic: str) -> list[Any]:
    from moto.sns.models import sns_backends

    return list(sns_backends["123456789012"]["us-east-1"].topics[topic].sent_notifications)


def test_stable_traffic_sends_nothing(account: Any, events: None, markers: str, tmp_path: Path) -> None:
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=False), "--markers-uri", markers, "--retrain", "true")
    found = monitored(tmp_path / "out", *flags, "--max-psi", "0.1")
    assert not found["breached"]
    assert rule_of_breaches() == []
    assert list_objects(markers) == []


def test_a_pod_that_dies_after_it_has_sent_sends_nothing_again(
    account: Any, events: None, markers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=True), "--markers-uri", markers, "--retrain", "true")
    from ncf.monitoring import figures

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(figures, "content", lambda *_: (_ for _ in ()).throw(SystemExit(137)))
        monitored(tmp_path / "killed", *flags)
    assert monitored(tmp_path / "retried", *flags)["breached"]
    assert len(rule_of_breaches()) == 1


def test_an_event_that_is_sent_again_starts_no_second_run(
    account: Any, events: None, markers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod dies between the event and its marker, so that the retry sends another event, later."""
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=True), "--markers-uri", markers, "--retrain", "true")
    from ncf.monitoring.markers import Markers

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Markers, "set", lambda *_: (_ for _ in ()).throw(SystemExit(137)))
        monitored(tmp_path / "killed", *flags)
    monitored(tmp_path / "retried", *flags)
    first, second = rule_of_breaches()
    assert first["id"] != second["id"]
    second["time"] = (datetime.fromisoformat(second["time"]) + timedelta(minutes=90)).isoformat()
    for window in ("", "    window: 1h\n"):
        world = World(rules_of(tmp_path, f"{RULE}{window}"))
        for event in (first, second):
            world.time.now = datetime.fromisoformat(event["time"]) + timedelta(seconds=1)
            world.send("drift", event)
            world.drain()
        assert len(world.kfp.names) == 1, world.kfp.names
        assert world.queue.waiting == world.queue.dead == []


def test_a_refused_event_fails_the_stage_and_is_sent_by_the_retry(
    account: Any, events: None, markers: str, tmp_path: Path
) -> None:
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=True), "--markers-uri", markers, "--retrain", "true")
    account.faults.add("refuse", "PutEvents", error="AccessDeniedException", times=1)
    with pytest.raises(RemoteError, match="AWS refused put_events: AccessDeniedException"):
        monitored(tmp_path / "refused", *flags)
    assert not (tmp_path / "refused" / "breached").exists()
    assert monitored(tmp_path / "retried", *flags)["breached"]
    assert len(rule_of_breaches()) == 1


def test_an_undelivered_notification_is_told_and_tried_again_in_the_next_run(
    account: Any, markers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncf.sagemaker.runs.notification._PAUSE_SECONDS", 0.0)
    flags = (*MAY, "--capture-uri", captured(tmp_path, drifting=True), "--markers-uri", markers)
    with webhook() as (url, bodies):
        down = monitored(tmp_path / "down", *flags, "--notify", "http://127.0.0.1:9/")
        assert "The notification was not delivered" in down["summary"]
        for number in range(2):
            monitored(tmp_path / f"up-{number}", *flags, "--notify", url)
    assert [body["window"] for body in bodies] == ["2026-05-04T00:00:00Z-24h"]
    assert "unknown users" in bodies[0]["text"]


@contextmanager
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """URL that accepts JSON, and what was posted to it."""
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", bodies
        server.shutdown()


def test_markers_lie_beside_the_capture(account: Any, tmp_path: Path) -> None:
    folder = Path(captured(tmp_path, drifting=True))
    for path in folder.rglob("*.jsonl"):
        upload(path, f"{CAPTURE}-2/{path.relative_to(folder)}")
    found = monitored(tmp_path / "out", *MAY, "--capture-uri", f"{CAPTURE}-2", "--retrain", "true")
    assert found["breached"]
    assert found["figures"]["total"]["records"] == 1240
    assert list_objects(f"{CAPTURE}-2/{MARKERS}") == [f"{CAPTURE}-2/{MARKERS}/{SHOP}/2026-05-04T000000Z-24h/event.json"]
    assert list(found["figures"]["variants"]) == ["AllTraffic"]


def test_outcomes_of_what_was_shown(account: Any, tmp_path: Path) -> None:
    start = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp())
    rows = [f"u{user},i{user},{start + 80_000 + user}" for user in range(12)] + [f"u0,i39,{start + 300_000}"]
    (tmp_path / "later.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    flags = (
        *MAY,
        "--capture-uri",
        captured(tmp_path, drifting=False),
        "--interactions-uri",
        str(tmp_path / "later.csv"),
    )
    found = monitored(tmp_path / "out", *flags, "--min-hit-rate", "0.9")
    (day,) = found["figures"]["outcomes"]
    assert (day["variant"], day["day"], day["users"], day["lists"]) == ("AllTraffic", "2026-05-04", 12, 240)
    assert 0 < day["hr_at_10"]["low"] <= day["hr_at_10"]["mean"] <= day["hr_at_10"]["high"] < 0.9
    assert found["breached"]
    assert "HR@10 of variant AllTraffic on 2026-05-04" in found["summary"]
    assert "users of later interactions" in found["report"]


def test_a_reference_window(account: Any, tmp_path: Path) -> None:
    capture = ("--capture-uri", captured(tmp_path, drifting=False))
    assert monitored(tmp_path / "first", *MAY, *capture)["figures"]["reference"] == "training"
    before = ("--reference-uri", str(tmp_path / "first" / "figures"))
    again = monitored(tmp_path / "again", *MAY, *capture, *before)
    assert again["figures"]["reference"] == "window 2026-05-04T00:00:00Z-24h"
    random_model(seed=9).save(tmp_path / "other", {}, {})
    with pytest.raises(InputError, match="expected the figures of a window of the same model"):
        monitored(tmp_path / "other-model", *MAY, *capture, *before, "--model-uri", str(tmp_path / "other"))


def test_packages_of_other_images_are_not_needed(account: Any, tmp_path: Path) -> None:
    """The pod runs the image of preprocess."""
    (tmp_path / "later.csv").write_text("user,item,timestamp\nu1,i1,1777900000\nu2,i1,1778900000\n")
    flags = [*MAY, f"--endpoint-name={SHOP}", f"--capture-uri={captured(tmp_path, drifting=True)}"]
    flags += [f"--interactions-uri={tmp_path / 'later.csv'}", *(f"--{name}={tmp_path / name}" for name in OUTPUTS)]
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'scipy', 'safetensors', 'starlette')))"
    code = f"{blocked}; from ncf.stage.command import main; main(['monitor', *sys.argv[1:]])"
    ran = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "figures").read_text())["outcomes"]


@pytest.mark.parametrize(
    ("endpoint", "flags", "said"),
    [
        ("ncf-missing", MAY, "'endpoint_name' is 'ncf-missing': there is no such endpoint"),
        ("ncf-silent", MAY, "endpoint ncf-silent records no requests; deploy it with 'data_capture_s3_uri'"),
        (SHOP, (*MAY, "--reference-uri", "absent.json"), "absent.json"),
        (SHOP, (*MAY, "--model-uri", "absent"), "absent"),
        (SHOP, (*MAY, "--interactions-uri", "absent.csv"), "absent.csv"),
    ],
)
def test_what_is_missing_is_named(
    account: Any, endpoint: str, flags: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        monitored(tmp_path / "out", *flags, endpoint=endpoint)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--since", "soon"), "since is 'soon'; expected an ISO date"),
        (("--hours", "0"), "hours' is 0"),
        (("--notify", "mail"), "expected the ARN of an SNS topic"),
        (("--max-popular", "2"), "max_popular' is 2"),
        (("--capture-uri", "gs://bucket/x"), "capture_uri"),
        (("--markers-uri", "gs://bucket/x"), "markers_uri"),
    ],
)
def test_bad_values_are_named(flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        monitored(tmp_path / "out", *flags)
