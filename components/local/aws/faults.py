"""What is to go wrong in the stand-in: asked for in Python or over HTTP, and taken up where it happens."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.local.aws.errors import ApiError

PATH = "/_faults"
"""GET lists the faults that are still to come, POST adds one, DELETE removes all."""

_USUAL_STATES = {"fail": "Training", "interrupt": "Training"}
_KEPT_LINES = 1000

Kind = Literal["interrupt", "fail", "hold", "refuse", "slow", "expire", "alarm"]


class Fault(BaseModel):
    """One thing that goes wrong.

    ``interrupt`` takes a spot job's instances away; ``fail`` ends a job or an endpoint's deployment with a
    ``reason``; ``hold`` keeps a job or endpoint in a ``state`` for ``seconds``; ``refuse`` answers an operation with
    an ``error``; ``slow`` has one wait for ``seconds`` before it is done and answered; ``expire`` refuses an access
    key; ``alarm`` has an alarm fire while an update is watched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    name: str = Field(min_length=1, description="Part of a job's, endpoint's or alarm's name; operation; access key")
    times: int = Field(1, ge=1, description="How often")
    state: str = Field("", description="Status of a job or endpoint; '': Training, Updating, or the first that comes")
    after: float = Field(0.0, ge=0, description="Seconds in that state until it happens")
    after_line: str = Field("", description="Expression for a line that the job has printed before")
    seconds: float = Field(
        0.0, ge=0, description="How long a state is held, an interruption, an operation takes, an alarm fires"
    )
    reason: str = Field("InternalServerError: a fault was asked for", description="SageMaker's reason of a failure")
    error: str = Field("ThrottlingException", description="Error code; 'drop' and 'cut' break the connection")


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: list[tuple[Fault, int]] = []

    def add(self, kind: Kind, name: str, **more: Any) -> None:
        """Ask for a fault: see :class:`Fault`.

        Raises:
            ApiError: that names the field at fault and what is accepted.
        """
        self.add_request({"kind": kind, "name": name, **more})

    def add_request(self, request: Mapping[str, Any]) -> None:
        """As :meth:`add`, with the fields as a JSON object has them."""
        try:
            fault = Fault.model_validate(request)
            re.compile(fault.after_line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "fault"
            known = ", ".join(Fault.model_fields)
            raise ApiError("ValidationException", f"{place}: {first['msg']}; fields are: {known}") from None
        except re.error as error:
            raise ApiError("ValidationException", f"after_line: {error}") from None
        with self._lock:
            self._coming.append((fault, fault.times))

    def clear(self) -> None:
        """Nothing more is to go wrong."""
        with self._lock:
            self._coming.clear()

    def coming(self) -> list[dict[str, Any]]:
        """The faults that are still to come, with how often."""
        with self._lock:
            return [{**fault.model_dump(exclude_defaults=True), "times": times} for fault, times in self._coming]

    def find(self, kind: Kind, name: str, state: str = "") -> Fault | None:
        """The next fault of a kind for a name in a state; it stays until :meth:`take`."""
        with self._lock:
            return next((fault for fault, _ in self._coming if _fits(fault, kind, name, state)), None)

    def take(self, kind: Kind, name: str, state: str = "") -> Fault | None:
        """As :meth:`find`; it has then happened once more."""
        with self._lock:
            for place, (fault, times) in enumerate(self._coming):
                if _fits(fault, kind, name, state):
                    self._coming[place : place + 1] = [(fault, times - 1)] if times > 1 else []
                    return fault
        return None

    def watch(self, kinds: Sequence[Kind], name: str, state: str) -> Watch:
        """What waits for faults in a state that begins now."""
        return Watch(self, kinds, name, state)


class Watch:
    """Waits for the moment of a fault while a job is in a state.

    Attributes:
        happened: the fault whose moment has come.
    """

    def __init__(self, faults: Faults, kinds: Sequence[Kind], name: str, state: str) -> None:
        self._faults, self._kinds, self._name, self._state = faults, kinds, name, state
        self._began = time.monotonic()
        self._lines: deque[tuple[float, str]] = deque(maxlen=_KEPT_LINES)
        self.happened: Fault | None = None

    def line(self, text: str) -> None:
        """Take in a line that was printed."""
        self._lines.append((time.monotonic(), text))

    def is_due(self) -> bool:
        """Whether a fault is to happen now; it has then happened."""
        for kind in self._kinds:
            fault = self._faults.find(kind, self._name, self._state)
            since = self._since(fault) if fault else None
            if fault and since is not None and time.monotonic() >= since + fault.after:
                self.happened = self._faults.take(kind, self._name, self._state)
                return True
        return False

    def _since(self, fault: Fault) -> float | None:
        if not fault.after_line:
            return self._began
        return next((when for when, text in list(self._lines) if re.search(fault.after_line, text)), None)


def _fits(fault: Fault, kind: Kind, name: str, state: str) -> bool:
    exact = kind in ("refuse", "slow", "expire")
    named = fault.name == name if exact else fault.name in name
    return fault.kind == kind and named and (fault.state or _USUAL_STATES.get(kind, state)) == state
