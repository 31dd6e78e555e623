"""Report of a SageMaker training job, in Markdown and as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncf.reports.markdown import code, code_block, escape, link, table
from ncf.training.log_lines import parse_epoch_line

_MAX_REASON = 1024
"""Characters of a reason: SageMaker's limit of FailureReason."""


@dataclass(frozen=True)
class TrainingJob:
    """A training job that has ended. Figures that are not known are None.

    Attributes:
        name: of the job.
        status: SageMaker's: ``Completed``, ``Failed`` or ``Stopped``.
        instance_type: such as ``ml.g5.xlarge``.
        instance_count: number of instances.
        is_spot: whether they are spot instances.
        training_seconds: from the start of the training to its end.
        billable_seconds: of each instance.
        cost_usd: of all instances, without storage and transfer.
        interruptions: of spot instances.
        model_uri: S3 URI of the model.
    """

    name: str
    status: str
    instance_type: str
    instance_count: int
    is_spot: bool = False
    training_seconds: float | None = None
    billable_seconds: float | None = None
    cost_usd: float | None = None
    interruptions: int = 0
    model_uri: str = ""

    @property
    def spot_saving(self) -> float | None:
        """Share of the time that is not billed, 0 to 1."""
        if not self.is_spot or not self.training_seconds or self.billable_seconds is None:
            return None
        return 1 - self.billable_seconds / self.training_seconds

    def metrics(self) -> dict[str, float]:
        """The known figures by name."""
        values = {
            "training_seconds": self.training_seconds,
            "billable_seconds": self.billable_seconds,
            "spot_saving": self.spot_saving,
            "estimated_cost_usd": self.cost_usd,
        }
        return {name: value for name, value in values.items() if value is not None}


def markdown(job: TrainingJob, url: str, reason: str = "", log_lines: Sequence[str] = ()) -> str:
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
        "training seconds": job.training_seconds,
        "billable seconds": job.billable_seconds,
        "spot saving": None if job.spot_saving is None else f"{job.spot_saving:.0%}",
        "interruptions": job.interruptions or None,
        "estimated cost": _cost(job),
        "model": None if reason else code(job.model_uri),
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


def _cost(job: TrainingJob) -> str | None:
    if job.cost_usd is not None:
        return f"{job.cost_usd:.4f} USD, without storage and transfer"
    if job.billable_seconds is None:
        return None
    return f"unknown, as no price of {job.instance_type} is known; set the parameter 'price_per_hour'"
