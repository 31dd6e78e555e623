"""Fault injection in the stand-in, in Python or over HTTP."""

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
"""URL path: GET lists the pending faults, POST adds one, DELETE removes all."""

_USUAL_STATES = {"fail": "Training", "interrupt": "Training"}
_KEPT_LINES = 1000

Kind = Literal["interrupt", "fail", "hold", "refuse", "slow", "late", "expire", "alarm"]


class Fault(BaseModel):
    """A fault.

    Kinds: ``interrupt`` takes the instances of a spot job away; ``fail`` ends a job or the deployment of an endpoint
    with a ``reason``; ``hold`` keeps a job or endpoint in a ``state`` for ``seconds``; ``refuse`` answers an operation
    with an ``error``; ``slow`` delays an operation by ``seconds``; ``late`` is eventual consistency:
    CreateEndpointConfig, CreateEndpoint, UpdateEndpoint, CreateTransformJob, InvokeEndpoint and the operations on model
    packages do not find what was created before, and DescribeEndpoint answers as before the deployment in progress;
    ``expire`` refuses an access key; ``alarm`` sets an alarm to ALARM during an endpoint update.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    name: str = Field(min_length=1, description="Part of the name of a job, endpoint or alarm; operation; access key")
    times: int = Field(1, ge=1, description="Number of times")
    state: str = Field("", description="Status of a job or endpoint; '': Training, Updating, or the next one")
    after: float = Field(0.0, ge=0, description="Seconds from the start of that state to the fault")
    after_line: str = Field("", description="Regular expression of a line of the job's output before the fault")
    seconds: float = Field(
        0.0, ge=0, description="Duration of a held state, an interruption, a delay or an alarm, in seconds"
    )
    reason: str = Field("InternalServerError: a fault was injected", description="SageMaker's reason of a failure")
    error: str = Field(
        "ThrottlingException",
        pattern=r"^[A-Za-z0-9.]+$",
        description="Error code; 'drop' and 'cut' break the connection",
    )


class Faults:
    """The pending faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: list[tuple[Fault, int]] = []

    def add(self, kind: Kind, name: str, **more: Any) -> None:
        """Add a fault: see :class:`Fault`.

        Raises:
            ApiError: if a field is invalid. The message names it and the known fields.
        """
        self.add_request({"kind": kind, "name": name, **more})

    def add_request(self, request: Mapping[str, Any]) -> None:
        """Add a fault from a JSON object: see :meth:`add`."""
        try:
            fault = Fault.model_validate(request)
            re.compile(fault.after_line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "fault"
            known = ", ".join(Fault.model_fields)
            raise ApiError("ValidationException", f"{field}: {first['msg']}; fields are: {known}") from None
        except re.error as error:
            raise ApiError("ValidationException", f"after_line: {error}") from None
        with self._lock:
            self._coming.append((fault, fault.times))

    def clear(self) -> None:
        """Remove all pending faults."""
        with self._lock:
            self._coming.clear()

    def coming(self) -> list[dict[str, Any]]:
        """The pending faults, each with its remaining number of times."""
        with self._lock:
            return [{**fault.model_dump(exclude_defaults=True), "times": times} for fault, times in self._coming]

    def find(self, kind: Kind, name: str, state: str = "") -> Fault | None:
        """The next fault of a kind for a name in a state, without removing it."""
        with self._lock:
            return next((fault for fault, _ in self._coming if _fits(fault, kind, name, state)), None)

    def take(self, kind: Kind, name: str, state: str = "") -> Fault | None:
        """As :meth:`find`, and reduce its number of times by one."""
        with self._lock:
            for index, (fault, times) in enumerate(self._coming):
                if _fits(fault, kind, name, state):
                    self._coming[index : index + 1] = [(fault, times - 1)] if times > 1 else []
                    return fault
        return None

    def watch(self, kinds: Sequence[Kind], name: str, state: str) -> Watch:
        """A watch for faults in a state that begins now."""
        return Watch(self, kinds, name, state)


class Watch:
    """Watch for faults while a job is in a state.

    Attributes:
        happened: the fault that has happened; None for none.
    """

    def __init__(self, faults: Faults, kinds: Sequence[Kind], name: str, state: str) -> None:
        self._faults, self._kinds, self._name, self._state = faults, kinds, name, state
        self._began = time.monotonic()
        self._lines: deque[tuple[float, str]] = deque(maxlen=_KEPT_LINES)
        self.happened: Fault | None = None

    def line(self, text: str) -> None:
        """Record a line of output."""
        self._lines.append((time.monotonic(), text))

    def is_due(self) -> bool:
        """Whether a fault happens now. If so, it is taken."""
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
    exact = kind in ("refuse", "slow", "late", "expire")
    named = fault.name == name if exact else fault.name in name
    return fault.kind == kind and named and (fault.state or _USUAL_STATES.get(kind, state)) == state
