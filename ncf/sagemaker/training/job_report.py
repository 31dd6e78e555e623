"""A training job in Markdown: what became of it, how far it came, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncf.aws.session import Aws
from ncf.reports.markdown import code, code_block, escape, table
from ncf.sagemaker.settings import JobSettings
from ncf.sagemaker.training import pricing
from ncf.training.log_lines import parse_epoch_line

_SECONDS_PER_HOUR = 3600
_FAILURE_CHARACTERS = 1024


def costs(aws: Aws, settings: JobSettings, description: Mapping[str, Any]) -> dict[str, float]:
    """Seconds and cost of a job that has ended: what is known of ``training_seconds``, ``billable_seconds`` (of each
    instance), ``spot_saving`` (0 to 1) and ``estimated_cost_usd`` (of all instances, storage left out).
    """
    known: dict[str, float] = {}
    seconds, billable = description.get("TrainingTimeInSeconds"), description.get("BillableTimeInSeconds")
    if seconds is not None:
        known["training_seconds"] = seconds
    if billable is None:
        return known
    known["billable_seconds"] = billable
    if settings.spot_instance and seconds:
        known["spot_saving"] = 1 - billable / seconds
    if price := settings.price_per_hour or pricing.training_price(aws, settings.instance_type):
        known["estimated_cost_usd"] = billable * settings.instance_count * price / _SECONDS_PER_HOUR
    return known


def markdown(
    aws: Aws,
    settings: JobSettings,
    description: Mapping[str, Any],
    url: str,
    reason: str = "",
    lines: Sequence[str] = (),
) -> str:
    """A job that has ended.

    Args:
        aws: to ask for prices.
        settings: of the job.
        description: SageMaker's.
        url: of the console.
        reason: why it failed.
        lines: the last ones of its log, where it failed.
    """
    cost = costs(aws, settings, description)
    spot = " (spot)" if settings.spot_instance else ""
    rows = {
        "status": description["TrainingJobStatus"],
        "instances": f"{settings.instance_count} x {settings.instance_type}{spot}",
        "training seconds": cost.get("training_seconds"),
        "billable seconds": cost.get("billable_seconds"),
        "spot saving": f"{cost['spot_saving']:.0%}" if "spot_saving" in cost else None,
        "interruptions": _interruptions(description) or None,
        "estimated cost": _estimate(settings, cost),
        "model": None if reason else code(description["ModelArtifacts"]["S3ModelArtifacts"]),
    }
    parts = [f"# [{description['TrainingJobName']}]({url})", ""]
    if reason:
        parts += [f"**{escape(reason, limit=_FAILURE_CHARACTERS)}**", ""]
    parts += [table(("", ""), [row for row in rows.items() if row[1] is not None]), ""]
    if epochs := [epoch for line in lines if (epoch := parse_epoch_line(line))]:
        parts += ["It came as far as:", "", *(f"- {name}: {value}" for name, value in epochs[-1].items()), ""]
    if lines:
        parts += ["Its last log lines:", "", code_block("\n".join(lines)), ""]
    return "\n".join(parts)


def _interruptions(description: Mapping[str, Any]) -> int:
    return sum(entry["Status"] == "Interrupted" for entry in description.get("SecondaryStatusTransitions", ()))


def _estimate(settings: JobSettings, cost: Mapping[str, float]) -> str | None:
    if "estimated_cost_usd" in cost:
        return f"{cost['estimated_cost_usd']:.4f} USD, storage and transfer left out"
    if "billable_seconds" not in cost:
        return None
    return f"no price of {settings.instance_type} is known; parameter 'price_per_hour' may give it"
