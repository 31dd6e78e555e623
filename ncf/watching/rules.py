"""Rules of triggers: which events start which pipeline. The file ``triggers.yaml`` holds them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from ncf import yaml_files
from ncf.durations import seconds, spelled
from ncf.errors import InputError
from ncf.kfp_api.runs import LATEST
from ncf.watching.causes import Alarm, Approved, Breach, Cause, Kind, Objects, Schedule, UnreadableError

_SHORTEST_WINDOW, _LONGEST_WINDOW = 10, 7 * 86_400
"""Seconds. SQS keeps a message for 14 days."""
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_COPIES = "aws_s3_prefix"
"""Parameter of the pipelines: URI that artifacts are copied to."""
_KFP_PLACEHOLDER = "{{"
_SHOWN = 40
"""Characters of a cause that the name of a run shows."""


class On(BaseModel):
    """The events of a rule: exactly one of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: Objects | None = None
    approved: str | None = Field(None, description="Model package group")
    alarm: str | None = Field(None, description="Name of a CloudWatch alarm")
    schedule: Schedule | None = None
    breach: str | None = Field(None, description="Name of a monitored endpoint")

    @model_validator(mode="after")
    def _is_one(self) -> On:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"expected one of {', '.join(type(self).model_fields)}; {found} is given")
        _ = self.kind
        return self

    @property
    def kind(self) -> Kind:
        """The kind of events."""
        if self.approved is not None:
            return Approved(group=self.approved)
        if self.alarm is not None:
            return Alarm(name=self.alarm)
        if self.breach is not None:
            return Breach(endpoint=self.breach)
        found = self.objects or self.schedule
        assert found is not None
        return found


@dataclass(frozen=True)
class Window:
    """A window of time, aligned to multiples of its length since 1970.

    Attributes:
        start: of the window.
        length: of the window.
    """

    start: datetime
    length: timedelta

    @classmethod
    def of(cls, time: datetime, length: timedelta) -> Window:
        """The window that a time lies in."""
        since = time - datetime(1970, 1, 1, tzinfo=UTC)
        return cls(time - since % length, length)

    @property
    def end(self) -> datetime:
        return self.start + self.length

    @property
    def next(self) -> Window:
        return Window(self.end, self.length)


class Rule(BaseModel):
    """A rule of triggers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*$", max_length=40)
    on: On
    window: int = Field(0, description="Seconds; 0: each cause starts a run of its own")
    pipeline: str = Field(min_length=1, max_length=100, description="Name of the pipeline on KFP")
    version: str = Field(LATEST, min_length=1, max_length=100, description="Name of the pipeline's version")
    experiment: str = Field("ncf", min_length=1, max_length=100)
    parameters: dict[str, JsonValue] = Field({}, description="Arguments of the pipeline")
    pipeline_root: str = Field("", description="URI of the run's artifacts; '': the cluster's default")
    service_account: str = Field("", description="Service account of the run's pods; '': the cluster's default")

    @field_validator("window", mode="before")
    @classmethod
    def _is_window(cls, value: Any) -> Any:
        try:
            span = seconds(str(value), "window", _SHORTEST_WINDOW)
        except InputError:
            span = 0
        if not _SHORTEST_WINDOW <= span <= _LONGEST_WINDOW:
            raise ValueError(
                f"expected a time from {spelled(_SHORTEST_WINDOW)} to {spelled(_LONGEST_WINDOW)}, such as 15m or 6h"
            )
        return span

    @model_validator(mode="after")
    def _knows_placeholders(self) -> Rule:
        known = () if self.window else self.on.kind.placeholders
        for name, value in self.parameters.items():
            for found in _PLACEHOLDER.findall(value) if isinstance(value, str) else ():
                if found not in known:
                    expected = ", ".join(f"{{{each}}}" for each in known) or (
                        "none, as a window has many causes" if self.window else "none for these events"
                    )
                    raise ValueError(f"parameter '{name}' is '{value}': '{{{found}}}' is unknown; expected {expected}")
        return self

    @model_validator(mode="after")
    def _starts_no_run_by_its_runs(self) -> Rule:
        if found := self.on.objects:
            watched = f"s3://{found.bucket}/{found.prefix}"
            written = {"pipeline_root": self.pipeline_root, _COPIES: str(self.parameters.get(_COPIES) or "")}
            for name, uri in written.items():
                if f"{uri}/".startswith(watched):
                    raise ValueError(
                        f"'{name}' is '{uri}': files that a run writes there would start further runs, as the rule is "
                        f"for {watched}; expected a location outside"
                    )
        return self

    def name_of(self, cause: Cause) -> str:
        """Name of the run of a single cause, of at most 128 characters."""
        subject = f"{cause.subject[:_SHOWN]}..." if len(cause.subject) > _SHOWN else cause.subject
        digest = hashlib.sha256(cause.identity.encode()).hexdigest()[:10]
        return f"{self.name} {_readable(subject)} {_text(cause.time)} {digest}"

    def name_of_window(self, window: Window) -> str:
        """Name of the run of all causes in a window."""
        return f"{self.name} {_text(window.start)} {spelled(self.window)}"

    def window_of(self, cause: Cause) -> Window:
        """The window of a cause."""
        return Window.of(cause.time, timedelta(seconds=self.window))

    def arguments(self, cause: Cause) -> dict[str, Any]:
        """The arguments of the pipeline.

        Raises:
            UnreadableError: if a value of the cause has control characters or a placeholder of KFP.
        """

        def filled(value: JsonValue) -> JsonValue:
            if not isinstance(value, str) or self.window:
                return value
            for name in set(_PLACEHOLDER.findall(value)):
                given = cause.values[name]
                if _KFP_PLACEHOLDER in given or not given.isprintable():
                    raise UnreadableError(f"{name} is {given!r}, which cannot be an argument of a pipeline")
                value = value.replace(f"{{{name}}}", given)
            return value

        return {name: filled(value) for name, value in self.parameters.items()}


def load(path: Path) -> dict[str, Rule]:
    """The rules of a file, by name.

    Raises:
        InputError: that names the file, the rule and the field at fault, its value, and what is accepted.
    """
    try:
        content = yaml_files.load(path)
    except ValueError as error:
        raise InputError(f"rules: '{path}' cannot be read as YAML: {error}") from None
    entries = content.get("rules") if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or not entries or set(content) != {"rules"}:
        raise InputError(f"rules: '{path}' holds no rules; expected 'rules:' and a list of them below")
    found: dict[str, Rule] = {}
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            rule = Rule.model_validate(_with_on(entry))
        except ValidationError as error:
            problems += _problems(number, entry, error)
            continue
        if rule.name in found:
            problems.append(f"rule '{rule.name}': two rules have this name")
        found[rule.name] = rule
    if problems:
        raise InputError(f"rules: '{path}': {'; '.join(problems)}")
    return found


def _with_on(entry: Any) -> Any:
    """An entry whose key ``on`` is a text: YAML 1.1 reads it as true."""
    return {"on" if key is True else key: value for key, value in entry.items()} if isinstance(entry, dict) else entry


def _problems(number: int, entry: Any, error: ValidationError) -> Iterator[str]:
    name = entry.get("name") if isinstance(entry, dict) else None
    rule = f"rule '{name}'" if name else f"rule {number}"
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if problem["type"] == "missing":
            yield f"{rule}: '{field}' is required"
        elif problem["type"] == "extra_forbidden":
            yield f"{rule}: '{field}' is unknown"
        elif field:
            yield f"{rule}: '{field}' is {problem['input']!r}: {message}"
        else:
            yield f"{rule}: {message}"


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _readable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
