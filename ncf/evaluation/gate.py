"""Gate: conditions for the release of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ncf.evaluation.names import LABELS

if TYPE_CHECKING:  # finish reads METRIC in an image without scipy
    from ncf.evaluation.intervals import Estimate
    from ncf.evaluation.summary import ChampionSummary, Summary

METRIC = "gate_passed"
"""Name of the metric: 1 if the gate is open, else 0."""

_DETAILS, _CONDITIONS = "details", "gate"
"""Key of the conditions in the metrics file."""

NotWorseThan = Literal["best", "popularity", "none"]
"""Baseline that a model must not be worse than: the best by NDCG@10 on the whole catalogue, popularity, or none."""


@dataclass(frozen=True)
class GateCondition:
    """Condition of the gate, with its text and result."""

    text: str
    passed: bool


def gate(
    summary: Summary, min_hr_at_10: float, not_worse_than: NotWorseThan, max_loss_to_champion: float
) -> list[GateCondition]:
    """Conditions for the deployment of a model, which must all hold.

    Both comparisons use the 95 % interval of the difference in NDCG@10, paired by user: with a baseline, and with the
    champion. The gate closes if the whole interval is below 0, or below ``-max_loss_to_champion``. Noise alone closes
    it in fewer than 3 of 100 releases of an equal model. A small loss on few test users may stay undetected; the report
    shows the width of the interval.

    Args:
        summary: of the evaluation.
        min_hr_at_10: lowest HR@10 among the drawn items, 0 to 1; 0 for no condition.
        not_worse_than: baseline of the comparison on the whole catalogue.
        max_loss_to_champion: largest accepted loss in NDCG@10, 0 to 1.
    """
    checks = []
    if min_hr_at_10 > 0:
        hr = summary.values["hr_at_10"]
        text = (
            f"HR@10 among {summary.candidates} drawn items is {hr:.4f}; at least {min_hr_at_10:g} is asked for "
            "(min_hr_at_10)"
        )
        checks.append(GateCondition(text, hr >= min_hr_at_10))
    if not_worse_than != "none":
        checks.append(_baseline_condition(summary, not_worse_than))
    if summary.champion is not None:
        checks.append(_champion_condition(summary.champion, summary.candidates, max_loss_to_champion))
    return checks


def _baseline_condition(summary: Summary, not_worse_than: NotWorseThan) -> GateCondition:
    metric = "full_ndcg_at_10"
    name = summary.best_baseline if not_worse_than == "best" else "popularity"
    label = LABELS[name] + (", the best baseline" if not_worse_than == "best" else "")
    own, other = (summary.of_rankers[ranker][metric].mean for ranker in ("model", name))
    gain = summary.gains[name][metric]
    text = (
        f"NDCG@10 on the whole catalogue is {own:.4f}, and {other:.4f} of {label}: the difference is {_paired(gain)}; "
        f"its interval must not lie wholly below 0 (not_worse_than={not_worse_than})"
    )
    return GateCondition(text, gain.high >= 0)


def _champion_condition(champion: ChampionSummary, candidates: int, max_loss: float) -> GateCondition:
    gain = champion.gains[champion.metric]
    protocol = "on the whole catalogue"
    if champion.metric == "ndcg_at_10":
        protocol = f"among {candidates} drawn items (too few users can be compared on the whole catalogue)"
    text = (
        f"NDCG@10 {protocol} differs from the champion's by {_paired(gain)}; the interval must not lie wholly below "
        f"{-max_loss:g} (max_loss_to_champion)"
    )
    return GateCondition(text, gain.high >= -max_loss)


def _paired(gain: Estimate) -> str:
    return f"{gain.mean:+.4f} (95 %: {gain.low:+.4f} to {gain.high:+.4f})"


def with_gate(content: Mapping[str, Any], checks: Sequence[GateCondition]) -> dict[str, Any]:
    """Content of the metrics file of evaluate: the result of the gate, the metrics, and the conditions in ``details``.

    Args:
        content: of :class:`ncf.evaluation.summary.Summary`.
        checks: conditions of the gate.
    """
    details = {**content[_DETAILS], _CONDITIONS: [asdict(check) for check in checks]}
    return {METRIC: float(all(check.passed for check in checks)), **content, _DETAILS: details}


def reason_of_closed_gate(metrics: Mapping[str, Any]) -> str:
    """The conditions that failed, by the metrics file of evaluate; '' if it names none."""
    try:
        return " / ".join(str(check["text"]) for check in metrics[_DETAILS][_CONDITIONS] if not check["passed"])
    except (LookupError, TypeError):
        return ""
