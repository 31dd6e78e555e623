"""Report of a job of SageMaker, in Markdown and as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ncf.reports.markdown import code_block, escape, link, table
from ncf.training.log_lines import parse_epoch_line

_MAX_REASON = 1024
"""Characters of a reason: SageMaker's limit of FailureReason."""


@dataclass(frozen=True)
class EndedJob:
    """A job that has ended. Figures that are not known are None.

    Attributes:
        name: of the job.
        status: SageMaker's: ``Completed``, ``Failed`` or ``Stopped``.
        verb: what it does, such as ``training``.
        instance_type: such as ``ml.g5.xlarge``.
        instance_count: number of instances.
        is_spot: whether they are spot instances.
        seconds: from the start of the program to its end.
        billable_seconds: of each instance.
        cost_usd: of all instances, without storage and transfer.
        interruptions: of spot instances.
        results: further rows of a completed job, by name.
    """

    name: str
    status: str
    verb: str
    instance_type: str
    instance_count: int
    is_spot: bool = False
    seconds: float | None = None
    billable_seconds: float | None = None
    cost_usd: float | None = None
    interruptions: int = 0
    results: Mapping[str, object] = field(default_factory=dict)

    @property
    def spot_saving(self) -> float | None:
        """Share of the time that is not billed, 0 to 1."""
        if not self.is_spot or not self.seconds or self.billable_seconds is None:
            return None
        return 1 - self.billable_seconds / self.seconds

    def metrics(self) -> dict[str, float]:
        """The known figures by name."""
        values = {
            f"{self.verb}_seconds": self.seconds,
            "billable_seconds": self.billable_seconds,
            "spot_saving": self.spot_saving,
            "estimated_cost_usd": self.cost_usd,
        }
        return {name: value for name, value in values.items() if value is not None}


def markdown(job: EndedJob, url: str, reason: str = "", log_lines: Sequence[str] = ()) -> str:
    """The report of a job.

    Args:
        job: its figures.
        url: of the job in the console.
        reason: of a failure; '' for a completed job.
        log_lines: the last ones, after a failure.
    """
    spot = " (spot)" if job.is_spot else ""
    rows = {
        "status": job.status,
        "instances": f"{job.instance_count} x {job.instance_type}{spot}",
        f"{job.verb} seconds": job.seconds,
        "billable seconds": job.billable_seconds,
        "spot saving": None if job.spot_saving is None else f"{job.spot_saving:.0%}",
        "interruptions": job.interruptions or None,
        "estimated cost": _cost(job),
        **({} if reason else job.results),
    }
    parts = [f"# {link(job.name, url)}", ""]
    if reason:
        parts += [f"**{escape(reason, limit=_MAX_REASON)}**", ""]
    parts += [table(("", ""), [row for row in rows.items() if row[1] is not None]), ""]
    if epochs := [epoch for line in log_lines if (epoch := parse_epoch_line(line))]:
        parts += ["The last epoch:", "", *(f"- {name}: {value}" for name, value in epochs[-1].items()), ""]
    if log_lines:
        parts += ["The last log lines:", "", code_block("\n".join(log_lines)), ""]
    return "\n".join(parts)


def _cost(job: EndedJob) -> str | None:
    if job.cost_usd is not None:
        return f"{job.cost_usd:.4f} USD, without storage and transfer"
    if job.billable_seconds is None:
        return None
    return f"unknown, as no price of {job.instance_type} is known; set the parameter 'price_per_hour'"
