"""The gate: the conditions under which a model is released."""

from __future__ import annotations

from dataclasses import dataclass

from ncf.evaluation.summary import Summary

METRIC = "gate_passed"
"""Among the metrics: 1 if the gate is open, else 0."""


@dataclass(frozen=True)
class Check:
    """One condition of the gate, in words, and whether it holds."""

    text: str
    passed: bool


def gate(
    summary: Summary, min_hr_at_10: float, not_worse_than_popularity: bool, max_loss_to_champion: float
) -> list[Check]:
    """The conditions under which a model is deployed: all must hold.

    Against the champion the gate closes if the whole 95 % interval of the difference in NDCG@10, paired by user, lies
    below ``-max_loss_to_champion``: if the loss is larger than what is allowed, and larger than what the choice of
    test users explains. So noise alone closes it in fewer than 3 of 100 releases of an equal model. The price is that
    a small loss on few test users stays undetected; how wide the interval is, the report shows.
    """
    values, checks = summary.values, []
    if min_hr_at_10 > 0:
        hr = values["hr_at_10"]
        passed = hr >= min_hr_at_10
        checks.append(Check(f"HR@10 is {hr:.4f}; at least {min_hr_at_10:g} is asked for (min_hr_at_10)", passed))
    if not_worse_than_popularity:
        for metric, label in (("hr_at_10", "HR@10"), ("ndcg_at_10", "NDCG@10")):
            own, bar = values[metric], values[f"popularity_{metric}"]
            checks.append(Check(f"{label} is {own:.4f}; popularity's is {bar:.4f}", own >= bar))
    if summary.champion is not None:
        gain = summary.champion.gains["ndcg_at_10"]
        checks.append(
            Check(
                f"NDCG@10 is {gain.mean:+.4f} against the champion's (95 %: {gain.low:+.4f} to {gain.high:+.4f}); "
                f"the interval must not lie wholly below {-max_loss_to_champion:g} (max_loss_to_champion)",
                gain.high >= -max_loss_to_champion,
            )
        )
    return checks
