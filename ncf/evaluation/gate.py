"""Gate: conditions for the release of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # finish reads METRIC in an image without scipy
    from ncf.evaluation.summary import Summary

METRIC = "gate_passed"
"""Name of the metric: 1 if the gate is open, else 0."""


@dataclass(frozen=True)
class GateCondition:
    """Condition of the gate, with its text and result."""

    text: str
    passed: bool


def gate(
    summary: Summary, min_hr_at_10: float, not_worse_than_popularity: bool, max_loss_to_champion: float
) -> list[GateCondition]:
    """Conditions for the deployment of a model, which must all hold.

    The gate compares the 95 % interval of the difference in NDCG@10 to the champion, paired by user. It closes if the
    whole interval is below ``-max_loss_to_champion``. Noise alone closes it in fewer than 3 of 100 releases of an equal
    model. A small loss on few test users may stay undetected; the report shows the width of the interval.

    Args:
        summary: of the evaluation.
        min_hr_at_10: lowest HR@10, 0 to 1; 0 for no condition.
        not_worse_than_popularity: whether HR@10 and NDCG@10 must be at least those of popularity.
        max_loss_to_champion: largest accepted loss in NDCG@10, 0 to 1.
    """
    values, checks = summary.values, []
    if min_hr_at_10 > 0:
        hr = values["hr_at_10"]
        passed = hr >= min_hr_at_10
        checks.append(
            GateCondition(f"HR@10 is {hr:.4f}; at least {min_hr_at_10:g} is asked for (min_hr_at_10)", passed)
        )
    if not_worse_than_popularity:
        for metric, label in (("hr_at_10", "HR@10"), ("ndcg_at_10", "NDCG@10")):
            own, bar = values[metric], values[f"popularity_{metric}"]
            checks.append(GateCondition(f"{label} is {own:.4f}; popularity's is {bar:.4f}", own >= bar))
    if summary.champion is not None:
        gain = summary.champion.gains["ndcg_at_10"]
        checks.append(
            GateCondition(
                f"NDCG@10 is {gain.mean:+.4f} against the champion's (95 %: {gain.low:+.4f} to {gain.high:+.4f}); "
                f"the interval must not lie wholly below {-max_loss_to_champion:g} (max_loss_to_champion)",
                gain.high >= -max_loss_to_champion,
            )
        )
    return checks
