"""Causes of runs: the events of each kind, as EventBridge delivers them.

Each kind says which events EventBridge is to send, and what of an event names its run. SageMaker may send several
events for one change, and EventBridge an event several times: what is the same cause has the same identity.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-content-based-filtering.html
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.properties import DECIDED, DECIDED_AT

Event = Mapping[str, Any]

_EXPRESSION = re.compile(
    r"cron\((\S+ ){5}\S+\)|rate\([1-9]\d* (minute|hour|day)s?\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)"
)
_MILLISECONDS = 1e3
_FIRST_YEAR = 1970


class UnreadableError(ValueError):
    """An event without what its kind has, or with what no run may be given."""


@dataclass(frozen=True)
class Cause:
    """What an event tells of.

    Attributes:
        time: of the event: of the upload, the decision, the change of the alarm.
        subject: what it concerns, for people.
        identity: text that is the same for each event of the same cause, and of no other.
        values: texts that parameters may name as ``{NAME}``.
    """

    time: datetime
    subject: str
    identity: str
    values: Mapping[str, str] = field(default_factory=dict)


class Kind(BaseModel):
    """A kind of events."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: ClassVar[str]
    detail_type: ClassVar[str]
    placeholders: ClassVar[tuple[str, ...]] = ()
    """Names of the values of its causes."""

    @abstractmethod
    def detail(self) -> dict[str, Any]:
        """The part ``detail`` of the event pattern."""

    @abstractmethod
    def read(self, event: Event) -> Cause:
        """The cause that an event of this kind tells of.

        Raises:
            LookupError, TypeError, ValueError, ArithmeticError: if a field is missing or invalid.
        """

    def pattern(self) -> dict[str, Any]:
        """The event pattern of the EventBridge rule."""
        return {"source": [self.source], "detail-type": [self.detail_type], "detail": self.detail()}

    def cause(self, event: Event) -> Cause:
        """The cause that an event tells of.

        Raises:
            UnreadableError: if it is none of this kind.
        """
        found = (event.get("source"), event.get("detail-type"))
        if found != (self.source, self.detail_type):
            raise UnreadableError(f"the event is '{found[1]}' of {found[0]}; expected '{self.detail_type}'")
        try:
            cause = self.read(event)
            cause.identity.encode()  # JSON may have half a pair of surrogates
            if cause.time.year < _FIRST_YEAR:
                raise UnreadableError(f"the time of the event, {cause.time.isoformat()}, lies before {_FIRST_YEAR}")
            return cause
        except UnreadableError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
            raise UnreadableError(f"'{self.detail_type}': a field is missing or invalid: {error!r}") from None


class Objects(Kind):
    """Objects that are created in S3. Their bucket must send its events to EventBridge.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """

    source = "aws.s3"
    detail_type = "Object Created"
    placeholders = ("uri",)

    bucket: str = Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]+[a-z0-9]$")
    prefix: str = Field("", max_length=1024)
    suffix: str = Field("", max_length=1024)

    def detail(self) -> dict[str, Any]:
        pattern: dict[str, Any] = {"bucket": {"name": [self.bucket]}}
        if self.prefix or self.suffix:
            prefix, suffix = (re.sub(r"([*\\])", r"\\\1", text) for text in (self.prefix, self.suffix))
            pattern["object"] = {"key": [{"wildcard": f"{prefix}*{suffix}"}]}
        return pattern

    def read(self, event: Event) -> Cause:
        bucket, found = event["detail"]["bucket"]["name"], event["detail"]["object"]
        uri = f"s3://{bucket}/{found['key']}"
        version = [str(found.get(name, "")) for name in ("version-id", "etag", "eTag", "sequencer")]
        time = _time(event["time"])
        return Cause(time, uri, "|".join([uri, *version, time.isoformat()]), {"uri": uri})


class Approved(Kind):
    """Versions of a model package group whose approval status becomes Approved.

    A release changes properties of its package, which is an event, too. So ``UpdatedModelPackageFields`` must name the
    status.
    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """

    source = "aws.sagemaker"
    detail_type = "SageMaker Model Package State Change"
    placeholders = ("package",)

    group: str = Field(min_length=1, max_length=63)

    def detail(self) -> dict[str, Any]:
        return {
            "ModelPackageGroupName": [self.group],
            "ModelApprovalStatus": [APPROVED],
            "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        }

    def read(self, event: Event) -> Cause:
        detail = event["detail"]
        if detail["ModelApprovalStatus"] != APPROVED:
            raise UnreadableError(f"the package is {detail['ModelApprovalStatus']}; expected {APPROVED}")
        arn, properties = str(detail["ModelPackageArn"]), detail.get("CustomerMetadataProperties", {})
        decided = properties.get(DECIDED_AT) if properties.get(DECIDED) == APPROVED else None
        time = _time(decided or detail.get("LastModifiedTime") or event["time"])
        return Cause(time, arn.rpartition(":model-package/")[2], f"{arn}|{time.isoformat()}", {"package": arn})


class Alarm(Kind):
    """A CloudWatch alarm that goes to the state ALARM.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """

    source = "aws.cloudwatch"
    detail_type = "CloudWatch Alarm State Change"

    name: str = Field(min_length=1, max_length=255)

    def detail(self) -> dict[str, Any]:
        return {"alarmName": [self.name], "state": {"value": ["ALARM"]}}

    def read(self, event: Event) -> Cause:
        name, state = str(event["detail"]["alarmName"]), event["detail"]["state"]
        time = _time(state.get("timestamp") or event["time"])
        return Cause(time, name, f"{name}|{time.isoformat()}")


class Schedule(Kind):
    """Times of a schedule of EventBridge Scheduler.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """

    source = "aws.scheduler"
    detail_type = "Scheduled Event"

    expression: str
    timezone: str = Field("UTC", pattern=r"^[A-Za-z0-9_+/-]{1,50}$")

    @field_validator("expression")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        if not _EXPRESSION.fullmatch(value):
            raise ValueError(
                "expected an expression of EventBridge Scheduler, such as cron(0 3 * * ? *) for each day at 3:00, "
                "rate(6 hours) or at(2026-12-01T03:00:00)"
            )
        return value

    def detail(self) -> dict[str, Any]:
        return {}

    def message(self) -> dict[str, Any]:
        """The message of the schedule, with Scheduler's placeholders. The time is the planned one, also of a retry.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        return {
            "id": "<aws.scheduler.execution-id>",
            "source": self.source,
            "detail-type": self.detail_type,
            "time": "<aws.scheduler.scheduled-time>",
            "detail": {},
        }

    def read(self, event: Event) -> Cause:
        time = _time(event["time"])
        return Cause(time, "scheduled", time.isoformat())


class Breach(Kind):
    """A breach that the monitor of an endpoint has found.

    The monitor may send a breach again, in another event and later. So the time is the start of the monitored window.
    """

    source = "ncf.monitor"
    detail_type = "NCF Monitor Breach"

    endpoint: str = Field(min_length=1, max_length=63)

    def detail(self) -> dict[str, Any]:
        return {"endpoint": [self.endpoint]}

    def read(self, event: Event) -> Cause:
        endpoint, window, cause = (str(event["detail"][name]) for name in ("endpoint", "window", "cause"))
        time = _time(event["detail"]["start"])
        return Cause(time, f"{endpoint} {cause}", "|".join((endpoint, window, cause)))


def _time(value: str | float) -> datetime:
    """A time in UTC, of an ISO text or of milliseconds since 1970."""
    if isinstance(value, str):
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    return datetime.fromtimestamp(value / _MILLISECONDS, UTC)
