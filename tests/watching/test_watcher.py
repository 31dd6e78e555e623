"""One run for each cause or window, whatever happens to events, watchers and KFP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from trigger_world import GROUP, START, KilledError, World, approved, breached, created, event

from ncf.errors import RemoteError
from ncf.kfp_api.runs import Run
from ncf.watching import watcher as module
from ncf.watching.queue import LEASE_SECONDS

FIRST_WINDOW = "new-data 2026-11-29T03:00:00Z 15m"
NEXT_WINDOW = "new-data 2026-11-29T03:15:00Z 15m"


def fifty(world: World) -> list[dict[str, Any]]:
    """Events of fifty files, spread over the first window."""
    return [created(f"ratings/{number}.csv", START + timedelta(seconds=10 * number)) for number in range(50)]


def test_fifty_files_in_a_window_are_one_run_after_its_end(world: World) -> None:
    world.send("new-data", *fifty(world))
    world.drain(hours=0.2)
    assert world.kfp.runs == []
    world.drain()
    ((name, run, request),) = world.kfp.runs
    assert name == FIRST_WINDOW
    assert run.created >= START + timedelta(minutes=15)
    assert dict(request.arguments) == {"data_uri": "s3://data/ratings/", "data_days": 90}
    assert world.queue.waiting == []


def test_two_windows_are_two_runs(world: World) -> None:
    world.send("new-data", created("ratings/a.csv", START), created("ratings/b.csv", START + timedelta(minutes=16)))
    world.drain()
    assert world.kfp.names == [FIRST_WINDOW, NEXT_WINDOW]


@pytest.mark.parametrize("minutes", [0, 14, 20, 180])
def test_a_doubled_event_is_one_run(world: World, minutes: int) -> None:
    """Whether the second comes in the window, or after its run has started, and whether or not SQS sees that it is one."""
    world.send("new-data", created("ratings/a.csv", START))
    world.drain(hours=minutes / 60)
    world.time.now = START + timedelta(minutes=minutes)
    world.queue.send("new-data", created("ratings/a.csv", START), deduplicated=False)
    world.drain()
    assert world.kfp.names == [FIRST_WINDOW]
    assert world.queue.waiting == []


@pytest.mark.parametrize("rule", ["each-file", "release", "slow", "drift", "nightly"])
def test_a_doubled_event_without_a_window_is_one_run(world: World, rule: str) -> None:
    for _ in range(2):
        world.queue.send(rule, SINGLE[rule], deduplicated=False)
        world.drain()
        world.time.pass_(3600)
    assert len(world.kfp.names) == 1
    assert world.queue.waiting == []


DIGEST = r" [0-9a-f]{10}"
SINGLE: dict[str, dict[str, Any]] = {
    "each-file": created("single/a.csv", START),
    "release": approved(3, START),
    "slow": event(
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        START,
        {"alarmName": "ncf-shop-latency", "state": {"value": "ALARM", "timestamp": "2026-11-29T03:00:00.000+0000"}},
    ),
    "drift": event(
        "ncf.monitor",
        "NCF Monitor Breach",
        START,
        breached("ncf-shop", "2026-11-29T02:00:00Z"),
    ),
    "nightly": event("aws.scheduler", "Scheduled Event", START, {}),
}


@pytest.mark.parametrize(
    ("rule", "name", "arguments"),
    [
        ("each-file", "each-file s3://data/single/a.csv 2026-11-29T03:00:00Z", {"data_uri": "s3://data/single/a.csv"}),
        ("release", "release ncf/3 2026-11-29T03:00:00Z", {"package": f"{GROUP}/3"}),
        ("slow", "slow ncf-shop-latency 2026-11-29T03:00:00Z", {}),
        ("drift", "drift ncf-shop monitor 2026-11-29T02:00:00Z", {}),
        ("nightly", "nightly scheduled 2026-11-29T03:00:00Z", {}),
    ],
)
def test_each_kind_of_events(world: World, rule: str, name: str, arguments: dict[str, Any]) -> None:
    world.send(rule, SINGLE[rule])
    world.drain(hours=0.01)
    ((found, _, request),) = world.kfp.runs
    assert found.rpartition(" ")[0] == name
    assert dict(request.arguments) == arguments
    assert request.pipeline == ("ncf-release" if rule == "release" else "ncf")


def test_several_events_of_one_approval_are_one_run_and_a_second_approval_another(world: World) -> None:
    """SageMaker may send several events for each change; the decision has one time."""
    decided = {"ncf:decided": "Approved", "ncf:decided-at": "2026-11-29T02:59:58+00:00"}
    for seconds in (0, 2):
        world.send("release", approved(3, START + timedelta(seconds=seconds), CustomerMetadataProperties=decided))
    world.drain()
    assert len(world.kfp.names) == 1
    again = decided | {"ncf:decided-at": "2026-11-29T04:00:00+00:00"}
    world.send("release", approved(3, START + timedelta(hours=1), CustomerMetadataProperties=again))
    world.drain()
    assert len(world.kfp.names) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("rule", ["new-data", "release"])
def test_a_watcher_may_be_killed_at_each_call(world: World, rule: str, after: bool) -> None:
    """Before and after each call, of the queue and of KFP: the next watcher finds or creates the one run."""
    call, kills = 1, 0
    while True:
        fresh = World(world.rules)
        fresh.time.now = START
        fresh.send(rule, *(fifty(fresh)[:3] if rule == "new-data" else [approved(3, START)]))
        try:
            fresh.drain(fresh.watcher(killed_at=call, after=after))
        except KilledError:
            kills += 1
            fresh.drain()
        else:
            break
        assert len(fresh.kfp.runs) == 1, f"killed at call {call}"
        assert fresh.queue.waiting == fresh.queue.dead == []
        call += 1
    assert kills >= 5


def test_kfp_may_be_down_for_an_hour(world: World) -> None:
    """Nothing is lost or buried, and the attempts are few."""
    world.kfp.down_until = START + timedelta(hours=1, minutes=15)
    world.send("new-data", *fifty(world))
    world.send("release", approved(3, START))
    world.drain()
    assert sorted(name.partition(" ")[0] for name in world.kfp.names) == ["new-data", "release"]
    assert world.queue.waiting == world.queue.dead == []
    assert world.queue.most_receives < 15


def test_an_outage_of_ten_days_stays_below_the_receipts_of_the_redrive_policy(world: World) -> None:
    from components.cluster.trigger_resources import MAX_RECEIVES

    world.kfp.down_until = START + timedelta(days=10)
    world.send("release", approved(3, START))
    world.drain(hours=11 * 24)
    assert len(world.kfp.names) == 1
    assert world.queue.most_receives < MAX_RECEIVES


def test_people_are_told_once_of_a_long_outage(world: World) -> None:
    world.kfp.down_until = START + timedelta(hours=6)
    world.send("release", approved(3, START))
    world.drain()
    ((title, text),) = world.told
    assert title == "NCF trigger 'release' waits"
    assert "connection refused" in text


def test_a_creation_without_an_answer_is_found_and_not_repeated(world: World) -> None:
    world.kfp.loses_answers = 1
    world.send("release", approved(3, START))
    world.drain()
    assert len(world.kfp.runs) == 1
    assert world.time.now - START >= timedelta(seconds=120), "the API may create it later than its answer is waited for"


def test_two_watchers_share_the_queue(world: World) -> None:
    world.send("new-data", *fifty(world))
    world.send("release", *(approved(version, START) for version in range(1, 30)))
    world.drain(world.watcher(), world.watcher())
    assert len(world.kfp.runs) == 30
    assert len(set(world.kfp.names)) == 30


def test_no_message_of_a_rule_reaches_a_second_watcher_meanwhile(world: World) -> None:
    world.send("new-data", *fifty(world))
    assert len(world.queue.receive()) == 10
    world.watcher().poll()
    assert world.kfp.runs == []
    assert world.queue.receive() == []


def test_two_runs_of_one_name_become_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that was frozen within its creation for longer than its lease."""
    world.send("release", approved(3, START))
    slow, create = world.watcher(), world.kfp.create

    def frozen(run: Any) -> str:
        monkeypatch.setattr(world.kfp, "create", create)
        world.time.pass_(LEASE_SECONDS + 1)
        world.watcher().poll()
        return create(run)

    monkeypatch.setattr(world.kfp, "create", frozen)
    slow.poll()
    assert len(world.kfp.runs) == 2
    assert len(world.kfp.names) == 1
    assert world.queue.waiting == []


def test_no_run_is_created_at_the_end_of_a_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten messages, each of which takes long: the last ones are left to the next receipt."""
    world.kfp.seconds = 30.0
    receive, create, received, left = world.queue.receive, world.kfp.create, [START], []

    def receiving() -> Any:
        received[0] = world.time.now
        return receive()

    def creating(run: Any) -> str:
        left.append(LEASE_SECONDS - (world.time.now - received[0]).total_seconds())
        return create(run)

    monkeypatch.setattr(world.queue, "receive", receiving)
    monkeypatch.setattr(world.kfp, "create", creating)
    world.send("release", *(approved(version, START) for version in range(1, 11)))
    world.drain()
    assert len(world.kfp.runs) == len(left) == 10
    assert min(left) >= 200


@pytest.mark.parametrize(
    ("rule", "body", "reason"),
    [
        ("release", "no JSON", "the message is not JSON"),
        ("release", "[1]", "expected a JSON object"),
        ("release", "[" * 10_000, "the message is not JSON"),
        ("no-such", "{}", "there is no rule 'no-such'; expected one of new-data"),
        ("release", json.dumps(created("ratings/a.csv", START)), "the event is 'Object Created' of aws.s3"),
        ("release", json.dumps(approved(3, START, ModelApprovalStatus="Rejected")), "the package is Rejected"),
        ("release", json.dumps({**approved(3, START), "detail": {}}), "a field is missing or invalid: KeyError"),
        ("slow", json.dumps({**SINGLE["slow"], "detail": []}), "a field is missing or invalid: TypeError"),
        ("new-data", json.dumps(created("ratings/a.csv", START + timedelta(hours=2))), "lies in the future"),
        ("release", json.dumps(approved(3, START, LastModifiedTime=10**30)), "a field is missing or invalid: Overflow"),
        ("nightly", json.dumps({**SINGLE["nightly"], "time": "soon"}), "a field is missing or invalid: ValueError"),
        ("each-file", json.dumps(created("single/{{workflow.name}}", START)), "which cannot be an argument"),
        ("each-file", json.dumps(created("single/a\nb", START)), "which cannot be an argument"),
        ("new-data", json.dumps(created("ratings/\ud800.csv", START)), "a field is missing or invalid: UnicodeEncode"),
        ("new-data", json.dumps({**created("ratings/a.csv", START), "time": "0001-01-01"}), "lies before 1970"),
    ],
)
def test_what_can_never_be_submitted_is_buried_and_told(world: World, rule: str, body: str, reason: str) -> None:
    world.send(rule, body)
    world.drain()
    ((buried, said),) = world.queue.dead
    assert buried == body
    assert reason in said
    ((title, text),) = world.told
    assert title == f"NCF trigger '{rule}' failed"
    assert said in text
    assert world.kfp.runs == []


def test_an_unknown_pipeline_is_buried_and_the_rule_goes_on(world: World) -> None:
    world.kfp.pipelines = ("ncf",)
    world.send("release", approved(3, START))
    world.send("new-data", created("ratings/a.csv", START))
    world.drain()
    assert [reason for _, reason in world.queue.dead] == ["pipeline: there is no pipeline 'ncf-release'"]
    assert world.kfp.names == [FIRST_WINDOW]


def test_a_late_event_is_that_of_the_run_that_started_after_it(world: World) -> None:
    """It tells of something that the run has seen."""
    world.send("new-data", created("ratings/a.csv", START))
    world.drain()
    world.time.pass_(3 * 3600)
    world.send("new-data", created("ratings/b.csv", START + timedelta(minutes=14)))
    world.drain()
    assert world.kfp.names == [FIRST_WINDOW]


def test_an_event_after_the_start_of_its_window_s_run_belongs_to_the_next(world: World) -> None:
    """As after a run of that name which was started too early: by a wrong clock, or by hand."""
    early = Run("run-0", START + timedelta(minutes=5), "RUNNING")
    world.send("new-data", created("ratings/a.csv", START))
    world.drain()
    world.kfp.runs = [(name, replace(early), request) for name, _, request in world.kfp.runs]
    world.send("new-data", created("ratings/b.csv", START + timedelta(minutes=14)))
    world.drain()
    assert world.kfp.names == [FIRST_WINDOW, NEXT_WINDOW]
    assert world.kfp.runs[1][1].created >= START + timedelta(minutes=30)


def test_a_late_event_without_a_run_starts_that_of_its_window(world: World) -> None:
    world.time.pass_(7200)
    world.send("new-data", created("ratings/a.csv", START))
    world.drain(hours=0.01)
    assert world.kfp.names == [FIRST_WINDOW]


def test_a_long_window_outlasts_the_longest_time_that_sqs_hides_a_message(tmp_path: Any, world: World) -> None:
    rules = {"new-data": world.rules["new-data"].model_copy(update={"window": 2 * 86_400})}
    longer = World(rules)
    longer.send("new-data", created("ratings/a.csv", START))
    hidden: list[float] = []
    hold = longer.queue.hold

    def bounded(message: Any, seconds: float) -> None:
        hidden.append(seconds)
        hold(message, min(seconds, 11 * 3600))

    longer.queue.hold = bounded  # type: ignore[method-assign]
    longer.drain(hours=72)
    assert max(hidden) > 12 * 3600, "the queue bounds it"
    assert len(longer.kfp.names) == 1
    assert longer.queue.most_receives < 10


def test_a_stopped_watcher_returns_what_it_has_not_handled(world: World) -> None:
    world.send("release", *(approved(version, START) for version in range(1, 4)))
    watcher = world.watcher()
    create = world.kfp.create

    def stopping(run: Any) -> str:
        watcher.stop.set()
        return create(run)

    world.kfp.create = stopping  # type: ignore[method-assign]
    watcher.run()
    assert len(world.kfp.runs) == 1
    assert world.queue.next_visible == world.time.now
    world.drain()
    assert len(world.kfp.runs) == 3


def test_a_defect_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.send("release", approved(3, START))
    find = world.kfp.find
    monkeypatch.setattr(world.kfp, "find", lambda *_: 1 / 0)
    world.watcher().poll()
    assert world.queue.waiting
    monkeypatch.setattr(world.kfp, "find", find)
    world.drain()
    assert len(world.kfp.names) == 1


def test_a_queue_that_does_not_answer_is_no_beat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_AFTER_FAILURE", 0.0)
    watcher = world.watcher()

    def fails() -> list[Any]:
        world.time.pass_(200)
        if world.time.now > START + timedelta(seconds=500):
            watcher.stop.set()
        raise RemoteError("ReceiveMessage: AWS cannot be reached")

    monkeypatch.setattr(world.queue, "receive", fails)
    watcher.run()
    assert watcher.health.silent == 600


def test_an_empty_queue_that_answers_is_a_beat(world: World) -> None:
    watcher = world.watcher()
    world.time.pass_(1000)
    assert watcher.poll() == 0
    assert watcher.health.silent == 0


def test_kfp_that_is_down_is_asked_once_for_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fails(*arguments: str) -> list[Run]:
        asked.append(arguments)
        raise RemoteError("KFP cannot be reached")

    monkeypatch.setattr(world.kfp, "find", fails)
    world.send("release", *(approved(version, START) for version in range(1, 11)))
    world.send("slow", SINGLE["slow"])
    watcher = world.watcher()
    while watcher.poll():
        pass
    assert len(asked) == 2, "once for each rule"


def test_a_watcher_remembers_no_runs(world: World) -> None:
    """KFP alone knows what exists: a run that people have deleted is created again for an event that comes again."""
    watcher = world.watcher()
    for _ in range(2):
        world.queue.send("release", approved(3, START), deduplicated=False)
        watcher.poll()
        assert len(world.kfp.runs) == 1
        world.kfp.runs.clear()
