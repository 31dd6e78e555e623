"""SQS and KFP in memory, on one simulated clock, and watchers between them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ncf.errors import RemoteError
from ncf.kfp_api.runs import NewRun, NotSubmittableError, Run
from ncf.watching.health import Health
from ncf.watching.queue import LEASE_SECONDS, Message
from ncf.watching.rules import Rule, load
from ncf.watching.watcher import Clock, Watcher

START = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package/ncf"
RULES = """
rules:
  - name: new-data
    on: {objects: {bucket: data, prefix: ratings/, suffix: .csv}}
    window: 15m
    pipeline: ncf
    parameters: {data_uri: s3://data/ratings/, data_days: 90}
  - name: each-file
    on: {objects: {bucket: data, prefix: single/}}
    pipeline: ncf
    parameters: {data_uri: "{uri}"}
  - name: release
    on: {approved: ncf}
    pipeline: ncf-release
    parameters: {package: "{package}"}
  - name: slow
    on: {alarm: ncf-shop-latency}
    pipeline: ncf
  - name: drift
    on: {breach: ncf-shop}
    pipeline: ncf
  - name: nightly
    on: {schedule: {expression: "cron(0 3 * * ? *)"}}
    pipeline: ncf
"""


class KilledError(BaseException):
    """The watcher's process is gone."""


def rules_of(folder: Path, text: str = RULES) -> dict[str, Rule]:
    """The rules of a text."""
    path = folder / "triggers.yaml"
    path.write_text(text)
    return load(path)


def breached(endpoint: str, start: str) -> dict[str, Any]:
    """What the detail of a breach in a window of an hour says of its cause."""
    return {"endpoint": endpoint, "window": f"{start}-1h", "start": start, "cause": "monitor"}


def created(key: str, time: datetime, bucket: str = "data") -> dict[str, Any]:
    """S3's event of an object."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "etag": "9dd4", "sequencer": "617f"}}
    return event("aws.s3", "Object Created", time, detail)


def approved(version: int, time: datetime, **detail: Any) -> dict[str, Any]:
    """SageMaker's event of an approval."""
    given = {
        "ModelPackageGroupName": "ncf",
        "ModelPackageArn": f"{GROUP}/{version}",
        "ModelApprovalStatus": "Approved",
        "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        "LastModifiedTime": time.isoformat(),
    }
    return event("aws.sagemaker", "SageMaker Model Package State Change", time, {**given, **detail})


def event(source: str, detail_type: str, time: datetime, detail: Mapping[str, Any]) -> dict[str, Any]:
    """An event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": f"{abs(hash((source, time, json.dumps(detail, sort_keys=True)))):x}",
        "source": source,
        "detail-type": detail_type,
        "time": f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "detail": detail,
    }


@dataclass
class Time:
    """The clock."""

    now: datetime = START

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: (self.now - START).total_seconds())


@dataclass
class _Kept:
    message: Message
    visible: datetime
    sent: datetime
    dead: bool = False


class SimulatedSqs:
    """A FIFO queue with content-based deduplication by group, and its dead-letter queue.

    Attributes:
        dead: events and reasons in the dead-letter queue.
        most_receives: of any message.
    """

    def __init__(self, time: Time) -> None:
        self._time, self._kept, self._numbers = time, dict[str, _Kept](), itertools.count(1)
        self.dead: list[tuple[str, str]] = []
        self.most_receives = 0

    def send(self, rule: str, body: Any, deduplicated: bool = True) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        for kept in self._kept.values():
            is_recent = self._time.now - kept.sent < timedelta(minutes=5)
            if deduplicated and is_recent and (kept.message.rule, kept.message.body) == (rule, text):
                return
        number = str(next(self._numbers))
        self._kept[number] = _Kept(Message(number, "", rule, text, 0, 0.0), self._time.now, self._time.now)

    def receive(self) -> list[Message]:
        locked = {kept.message.rule for kept in self._alive() if kept.visible > self._time.now}
        found = [kept for kept in self._alive() if kept.message.rule not in locked][:10]
        for kept in found:
            kept.visible = self._time.now + timedelta(seconds=LEASE_SECONDS)
            receives = kept.message.receives + 1
            self.most_receives = max(self.most_receives, receives)
            kept.message = replace(
                kept.message,
                handle=f"{kept.message.id}/{receives}",
                receives=receives,
                received=self._time.clock.monotonic(),
            )
        return [kept.message for kept in found]

    def delete(self, message: Message) -> None:
        self._held(message).dead = True

    def hold(self, message: Message, seconds: float) -> None:
        self._held(message).visible = self._time.now + timedelta(seconds=round(seconds))

    def bury(self, message: Message, reason: str) -> None:
        self._held(message).dead = True
        self.dead.append((message.body, reason))

    def _held(self, message: Message) -> _Kept:
        kept = self._kept[message.id]
        if kept.dead or kept.message.handle != message.handle or kept.visible <= self._time.now:
            raise RemoteError("AWS refused: InvalidParameterValue: the receipt handle has expired")
        return kept

    def _alive(self) -> Iterator[_Kept]:
        return (kept for kept in self._kept.values() if not kept.dead)

    @property
    def waiting(self) -> list[str]:
        """Bodies that are not deleted."""
        return [kept.message.body for kept in self._alive()]

    @property
    def next_visible(self) -> datetime | None:
        """When a message can be received next."""
        groups = {kept.message.rule for kept in self._alive()}
        by_group = [[kept.visible for kept in self._alive() if kept.message.rule == group] for group in groups]
        return min((max(times) for times in by_group), default=None)


@dataclass
class SimulatedKfp:
    """Runs by name, and what is to go wrong.

    Attributes:
        time: the clock.
        runs: (name, run, request), in the order of their creation.
        down_until: KFP refuses connections until then.
        pipelines: known names.
        loses_answers: number of creations that succeed without an answer.
        seconds: time that each call takes.
        ahead: seconds by which its clock is ahead.
    """

    time: Time
    runs: list[tuple[str, Run, NewRun]] = field(default_factory=list)
    down_until: datetime = START
    pipelines: tuple[str, ...] = ("ncf", "ncf-release")
    loses_answers: int = 0
    seconds: float = 0.0
    ahead: float = 0.0

    def find(self, experiment: str, name: str) -> list[Run]:
        self._answer()
        return [run for found, run, request in self.runs if (found, request.experiment) == (name, experiment)]

    def create(self, run: NewRun) -> str:
        self._answer()
        if run.pipeline not in self.pipelines:
            raise NotSubmittableError(f"pipeline: there is no pipeline '{run.pipeline}'")
        identifier = f"run-{len(self.runs) + 1}"
        now = (self.time.now + timedelta(seconds=self.ahead)).replace(microsecond=0)
        self.runs.append((run.name, Run(identifier, now, "RUNNING"), run))
        if self.loses_answers:
            self.loses_answers -= 1
            raise RemoteError("KFP does not answer: read timed out")
        return identifier

    def terminate(self, run_id: str) -> None:
        self._answer()
        self.runs = [
            (name, replace(run, state="CANCELED") if run.id == run_id else run, request)
            for name, run, request in self.runs
        ]

    def _answer(self) -> None:
        self.time.pass_(self.seconds)
        if self.time.now < self.down_until:
            raise RemoteError("KFP cannot be reached: connection refused")

    @property
    def names(self) -> list[str]:
        """Names of the runs that were not terminated."""
        return [name for name, run, _ in self.runs if run.state != "CANCELED"]


class KilledAt:
    """A queue or KFP at whose calls the watcher is killed.

    Args:
        inner: the queue or KFP.
        at: number of the call, counted over all objects that share ``count``.
        after: whether the call is made before the end.
        count: of calls so far.
    """

    def __init__(self, inner: Any, at: int, after: bool, count: list[int]) -> None:
        self._inner, self._at, self._after, self._count = inner, at, after, count

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*arguments: Any) -> Any:
            self._count[0] += 1
            if self._count[0] >= self._at and not self._after:
                raise KilledError
            answer = method(*arguments)
            if self._count[0] >= self._at:
                raise KilledError
            return answer

        return call


@dataclass
class World:
    """A queue, KFP, and watchers.

    Attributes:
        rules: of the watchers.
        told: titles and texts that people were told.
    """

    rules: Mapping[str, Rule]
    time: Time = field(default_factory=Time)
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue, self.kfp = SimulatedSqs(self.time), SimulatedKfp(self.time)

    def watcher(self, killed_at: int = 0, after: bool = False) -> Watcher:
        """A new watcher, which is killed at a call; 0: at none."""
        queue: Any = self.queue
        kfp: Any = self.kfp
        if killed_at:
            count = [0]
            queue, kfp = (KilledAt(inner, killed_at, after, count) for inner in (queue, kfp))
        clock = self.time.clock
        tell = lambda title, text: self.told.append((title, text))  # noqa: E731
        return Watcher(queue, kfp, self.rules, tell, Health(clock.monotonic), clock=clock)

    def send(self, rule: str, *events: Any) -> None:
        for each in events:
            self.queue.send(rule, each)

    def drain(self, *watchers: Watcher, hours: float = 48.0) -> None:
        """Let watchers poll in turn until the queue is empty, or for some hours."""
        end = self.time.now + timedelta(hours=hours)
        turns = itertools.cycle(watchers or (self.watcher(),))
        while (visible := self.queue.next_visible) and self.time.now < end:
            self.time.now = min(end, max(self.time.now, visible))
            next(turns).poll()
