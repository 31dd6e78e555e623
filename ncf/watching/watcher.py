"""The watcher: messages become runs, each cause or window one.

Its state lies in SQS and in KFP alone. A message is deleted once its run is confirmed to exist, so a watcher may be
killed at any moment: the message comes again, and the run is found by its name.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from ncf.errors import InputError, RemoteError
from ncf.kfp_api.runs import NewRun, NotSubmittableError, Run
from ncf.watching.causes import Cause, UnreadableError
from ncf.watching.health import Health
from ncf.watching.queue import LEASE_SECONDS, Message
from ncf.watching.rules import Rule

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 10.0
"""Seconds for which a window waits after its end, as the clocks of AWS and of the cluster may differ."""
_MAX_SKEW = timedelta(hours=1)
"""Time by which an event may be ahead of the clock of the watcher. Its rule waits for the end of its window."""
SUBMISSION_SECONDS = 200.0
"""Seconds that the creation of a run may take at most, with the timeouts and retries of its requests."""
_UNCERTAIN_SECONDS = 120.0
"""Seconds after which the API has created the run of a request without an answer, or never will."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 15.0, 900.0
_PAUSE_AFTER_FAILURE = 5.0
_TOLD_AT = 10
"""Number of receipts at which a message that is not submitted is told of: after about an hour."""


class MessageQueue(Protocol):
    """The calls of :class:`ncf.watching.queue.Queue`."""

    def receive(self) -> list[Message]: ...

    def delete(self, message: Message) -> None: ...

    def hold(self, message: Message, seconds: float) -> None: ...

    def bury(self, message: Message, reason: str) -> None: ...


class RunStore(Protocol):
    """The calls of :class:`ncf.kfp_api.runs.Runs`."""

    def find(self, experiment: str, name: str) -> list[Run]: ...

    def create(self, run: NewRun) -> str: ...

    def terminate(self, run_id: str) -> None: ...


Tell = Callable[[str, str], None]
"""Sends a title and a text to people."""


class _UncertainError(RemoteError):
    """The API may have created the run."""


@dataclass
class Clock:
    """Times of the watcher, which tests replace.

    Attributes:
        now: time in UTC.
        monotonic: seconds since any moment.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic


@dataclass
class Watcher:
    """The watcher of a queue.

    Attributes:
        queue: of messages.
        runs: of the cluster.
        rules: by name.
        tell: tells of messages that cannot be submitted.
        health: gets a beat for each answer of the queue and each message.
        stop: set to end after the message in progress; the others are returned.
        clock: times.
    """

    queue: MessageQueue
    runs: RunStore
    rules: Mapping[str, Rule]
    tell: Tell
    health: Health = field(default_factory=Health)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Clock = field(default_factory=Clock)
    _known: dict[str, Run] = field(default_factory=dict)

    def run(self) -> None:
        """Poll until ``stop`` is set."""
        while not self.stop.is_set():
            try:
                self.poll()
            except (InputError, RemoteError) as error:  # it goes on, as Kubernetes restarts what is silent for long
                _log.warning("the queue does not answer: %s", error)
                self.stop.wait(_PAUSE_AFTER_FAILURE)

    def poll(self) -> int:
        """Receive and handle one batch of messages.

        Returns:
            Number of messages.

        Raises:
            RemoteError, InputError: if the queue cannot be reached.
        """
        messages = self.queue.receive()
        self.health.beat()
        self._known.clear()
        postponed: dict[str, float] = {}
        for message in messages:
            if self.stop.is_set():
                self._call(self.queue.hold, message, 0.0)
            elif message.rule in postponed:
                self._call(self.queue.hold, message, postponed[message.rule])
            elif pause := self._handle(message):
                postponed[message.rule] = pause
            self.health.beat()
        return len(messages)

    def _handle(self, message: Message) -> float:
        """Submit, hold, bury or postpone a message.

        Returns:
            Seconds for which the other messages of its rule are postponed, too; 0 for none.
        """
        try:
            rule, cause = self._read(message)
            due = self._submit(rule, cause, message)
        except (UnreadableError, NotSubmittableError) as error:
            self._bury(message, " ".join(str(error).split()))
            return 0.0
        except (InputError, RemoteError) as error:
            return self._postpone(message, error)
        except Exception as error:  # a defect of this program must not lose the message, nor end the watcher
            _log.exception("message %s of rule '%s'", message.id, message.rule)
            return self._postpone(message, error)
        if due:
            self._call(self.queue.hold, message, (due - self.clock.now()).total_seconds() + 1)
        else:
            self._call(self.queue.delete, message)
        return 0.0

    def _read(self, message: Message) -> tuple[Rule, Cause]:
        """The rule and the cause of a message."""
        rule = self.rules.get(message.rule)
        if rule is None:
            raise UnreadableError(f"there is no rule '{message.rule}'; expected one of {', '.join(self.rules)}")
        try:
            event: Any = json.loads(message.body)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"the message is not JSON: {error}") from None
        if not isinstance(event, dict):
            raise UnreadableError("the message is not an event of EventBridge; expected a JSON object")
        return rule, rule.on.kind.cause(event)

    def _submit(self, rule: Rule, cause: Cause, message: Message) -> datetime | None:
        """Make sure that the run of a cause exists.

        The run of a window starts after its end, and so after everything that its events tell of. One that was started
        before an event, as clocks differ, leaves it to the next window.

        Returns:
            Time at which the window of the cause is closed; None if the run exists.
        """
        if not rule.window:
            self._ensure(rule, rule.name_of(cause), rule.arguments(cause), message)
            return None
        if cause.time > self.clock.now() + _MAX_SKEW:
            raise UnreadableError(f"the time of the event, {cause.time.isoformat()}, lies in the future")
        window = rule.window_of(cause)
        while True:
            due = window.end + timedelta(seconds=SETTLE_SECONDS)
            if self.clock.now() < due:
                return due
            run = self._ensure(rule, rule.name_of_window(window), rule.arguments(cause), message)
            if run.created >= cause.time.replace(microsecond=0):  # KFP's times are whole seconds
                return None
            window = window.next

    def _ensure(self, rule: Rule, name: str, arguments: Mapping[str, Any], message: Message) -> Run:
        """The run of a name, which is created if it does not exist. Later ones of that name are terminated."""
        if known := self._known.get(name):
            return known
        found = self.runs.find(rule.experiment, name)
        if not found:
            self._create(rule, name, arguments, message)
            found = self.runs.find(rule.experiment, name)
            if not found:
                raise _UncertainError(f"KFP lists no run '{name}', which it has just created")
        first, *others = found
        for other in others:
            if not other.has_ended:
                _log.warning("run '%s' exists twice; the later one, %s, is terminated", name, other.id)
                self.runs.terminate(other.id)
        self._known[name] = first
        return first

    def _create(self, rule: Rule, name: str, arguments: Mapping[str, Any], message: Message) -> None:
        if self.clock.monotonic() - message.received > LEASE_SECONDS - SUBMISSION_SECONDS:
            raise RemoteError("the lease of the message is about to end")
        run = NewRun(
            name, rule.experiment, rule.pipeline, rule.version, arguments, rule.pipeline_root, rule.service_account
        )
        try:
            run_id = self.runs.create(run)
        except NotSubmittableError:
            raise
        except (InputError, RemoteError) as error:
            raise _UncertainError(str(error)) from None
        _log.info("run '%s' of pipeline '%s' is created: %s", name, rule.pipeline, run_id)

    def _postpone(self, message: Message, error: Exception) -> float:
        """Hide a message for a time that grows with the number of its receipts.

        Returns:
            The time, in seconds.
        """
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(message.receives - 1, 10), _LONGEST_PAUSE_SECONDS)
        if isinstance(error, _UncertainError):
            pause = max(pause, _UNCERTAIN_SECONDS)
        said = " ".join(str(error).split())
        _log.warning("rule '%s' waits %.0f s, as its run cannot be submitted: %s", message.rule, pause, said)
        if message.receives == _TOLD_AT:
            self.tell(f"NCF trigger '{message.rule}' waits", f"its run cannot be submitted, and is tried again: {said}")
        self._call(self.queue.hold, message, pause)
        return pause

    def _bury(self, message: Message, reason: str) -> None:
        _log.error("message %s of rule '%s' can never be submitted: %s", message.id, message.rule, reason)
        if self._call(self.queue.bury, message, reason):
            self.tell(
                f"NCF trigger '{message.rule}' failed",
                f"a message can never be submitted, and lies in the dead-letter queue: {reason}",
            )

    def _call(self, call: Callable[..., None], *arguments: Any) -> bool:
        """Call the queue for a message. If it fails, the message comes again after its lease.

        Returns:
            Whether the call succeeded.
        """
        try:
            call(*arguments)
        except (InputError, RemoteError) as error:
            _log.warning("message %s comes again: %s", arguments[0].id, error)
            return False
        return True
