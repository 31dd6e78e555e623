"""A game day: one hour of simulated life in which everything goes wrong that may, and its end.

Events are lost, late and doubled; SQS throttles; KFP is away for a quarter of an hour, slow, and loses answers; two
watchers are killed again and again; a file is uploaded by halves; a package is approved while the release of another
updates the endpoint.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from trigger_world import GROUP, RULES, START, KilledError, World, approved, breached, created, event, rules_of

from ncf.errors import RemoteError
from ncf.watching.causes import Objects
from ncf.watching.watcher import Watcher

HOUR = timedelta(hours=1)
TICK = timedelta(seconds=5)
DOWN = (timedelta(minutes=20), timedelta(minutes=35))
UPDATE = timedelta(minutes=10)
APPROVALS = {1: timedelta(minutes=10), 2: timedelta(minutes=14), 3: timedelta(minutes=41)}
"""Version of the package -> when it is approved. The second comes within the update of the first."""
POISON = '{"half": an event'


@dataclass
class Life:
    """What happens in the hour.

    Attributes:
        dice: source of all chance.
        files: objects of the bucket, by the time at which each is complete.
        told: files whose event was not lost.
        deliveries: time, rule and event of each message.
    """

    dice: random.Random
    files: dict[str, datetime] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    deliveries: list[tuple[datetime, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(60):
            self._upload(f"ratings/{number}.csv", START + timedelta(seconds=self.dice.uniform(0, 3600)))
        self._upload("ratings/halves.csv", START + timedelta(minutes=50))  # begun at minute 5: no object until then
        for version, after in APPROVALS.items():
            self._deliver("release", approved(version, START + after), START + after)
        alarm = {"alarmName": "ncf-shop-latency", "state": {"value": "ALARM"}}
        breach = breached("ncf-shop", "2026-11-29T02:00:00Z")
        for rule, source, kind, minutes, detail in (
            ("slow", "aws.cloudwatch", "CloudWatch Alarm State Change", 22, alarm),
            ("drift", "ncf.monitor", "NCF Monitor Breach", 30, breach),
            ("nightly", "aws.scheduler", "Scheduled Event", 60, {}),
        ):
            time = START + timedelta(minutes=minutes)
            self._deliver(rule, event(source, kind, time, detail), time)
        self.deliveries.append((START + timedelta(minutes=25), "release", POISON))

    def _upload(self, key: str, time: datetime) -> None:
        self.files[key] = time
        if self.dice.random() > 0.1:
            self.told.add(key)
            self._deliver("new-data", created(key, time), time)

    def _deliver(self, rule: str, body: Any, time: datetime) -> None:
        """Deliver an event once or twice, some seconds or many minutes late."""
        for _ in range(self.dice.choice((1, 1, 2))):
            late = self.dice.choice((1, 1, 1, 60, 1200)) * self.dice.random()
            self.deliveries.append((time + timedelta(seconds=late), rule, body))

    def due(self, now: datetime) -> Iterator[tuple[str, Any]]:
        """Messages that arrive until a time."""
        for delivery in sorted((entry for entry in self.deliveries if entry[0] <= now), key=lambda entry: entry[0]):
            self.deliveries.remove(delivery)
            yield delivery[1:]


class Day(World):
    """The hour, with two watchers that are killed."""

    def __init__(self, rules: Any, seed: int) -> None:
        super().__init__(rules)
        self.dice = random.Random(seed)
        self.life = Life(self.dice)
        self.kills = 0
        self._watchers = [self.mortal(), self.mortal()]
        receive = self.queue.receive

        def throttled() -> Any:
            if self.dice.random() < 0.1:
                raise RemoteError("AWS refused receive_message: ThrottlingException: Rate exceeded")
            return receive()

        self.queue.receive = throttled  # type: ignore[method-assign]

    def mortal(self) -> Watcher:
        """A watcher that is killed soon, within the hour."""
        is_calm = self.time.now > START + HOUR
        return self.watcher(0 if is_calm else self.dice.randint(1, 20), after=self.dice.random() < 0.5)

    def tick(self) -> None:
        self.time.now += TICK
        for rule, body in self.life.due(self.time.now):
            self.queue.send(rule, body, deduplicated=False)
        after = self.time.now - START
        self.kfp.down_until = START + DOWN[1] if DOWN[0] <= after < DOWN[1] else START
        self.kfp.loses_answers = int(self.dice.random() < 0.3)
        self.kfp.seconds = self.dice.choice((0.0, 0.2, 2.0))
        for place, watcher in enumerate(self._watchers):
            try:
                watcher.poll()
            except RemoteError:
                continue
            except KilledError:
                self.kills += 1
                self._watchers[place] = self.mortal()

    def live(self) -> int:
        """The package that the endpoint serves at the end, if each release waits for the update before it."""
        until, live = START, 0
        for _, run, request in self.kfp.runs:
            if request.pipeline == "ncf-release" and run.state != "CANCELED":
                until = max(until, run.created) + UPDATE
                live = int(request.arguments["package"].removeprefix(f"{GROUP}/"))  # type: ignore[union-attr]
        return live


@pytest.mark.parametrize("seed", range(10))
def test_at_the_end_there_is_one_run_for_each_cause_and_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    day = Day(rules_of(tmp_path, RULES), seed)
    while day.time.now < START + 3 * HOUR:
        day.tick()
    assert day.kills > 10

    names = day.kfp.names
    rule = day.rules["new-data"]
    windows = {
        rule.name_of_window(rule.window_of(Objects(bucket="data").cause(created(key, day.life.files[key]))))
        for key in day.life.told
    }
    of_data = [name for name in names if name.startswith("new-data ")]
    assert sorted(of_data) == sorted(windows), "one run for each window"
    others = [name for name in names if not name.startswith("new-data ")]
    assert sorted(name.partition(" ")[0] for name in others) == ["drift", "nightly", *["release"] * 3, "slow"]

    for key, complete in day.life.files.items():
        readers = [run for _, run, request in day.kfp.runs if request.pipeline == "ncf" and run.created >= complete]
        assert readers, f"no run has read {key}"

    assert day.live() == 3
    assert day.queue.waiting == []
    assert {body for body, _ in day.queue.dead} == {POISON}
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(POISON)
