"""Baselines with a better mean than the model: warnings for the report and the summary."""

from __future__ import annotations

from collections.abc import Sequence

from ncf.evaluation.names import LABELS, in_order
from ncf.evaluation.summary import CUTOFF, Summary
from ncf.reports.numbers import decimal

_PROTOCOLS = {"full_": "on the whole catalogue", "": "among drawn items"}
_METRICS = {"ndcg": "NDCG", "hr": "HR", "recall": "Recall", "mrr": "MRR"}
"""Metrics in the order in which they are compared."""
_LEAST = 5e-5
"""Difference below which two figures are equal in the four digits that are shown."""


def better_baselines(summary: Summary) -> list[str]:
    """Sentences that name the baselines with a better mean than the model; an empty list if there are none.

    Each baseline is named once for each protocol, with the first metric in which its mean is better: NDCG, HR, Recall,
    MRR. A baseline is marked if the 95 % interval of its difference to the model includes 0.
    """
    return [
        _sentence(summary, names, protocol, prefix + metric, _METRICS[metric.partition("_")[0]])
        for prefix, protocol in _PROTOCOLS.items()
        for metric, names in _first_better(summary, prefix).items()
    ]


def _first_better(summary: Summary, prefix: str) -> dict[str, list[str]]:
    """Metric -> baselines that are better in it, and not in the metrics before it."""
    found: dict[str, list[str]] = {}
    metrics = [f"{metric}_at_{CUTOFF}" for metric in _METRICS]
    for name in in_order(summary.gains):
        gains = summary.gains[name]
        if won := next((one for one in metrics if (gain := gains.get(prefix + one)) and gain.mean < -_LEAST), None):
            found.setdefault(won, []).append(name)
    return found


def _sentence(summary: Summary, names: Sequence[str], protocol: str, metric: str, label: str) -> str:
    values = _listed([decimal(summary.of_rankers[name][metric].mean) for name in names])
    own = decimal(summary.of_rankers["model"][metric].mean)
    unsure = [LABELS[name] for name in names if summary.gains[name][metric].high >= 0]
    note = f" (the 95 % interval of the difference to {_listed(unsure)} includes 0)" if unsure else ""
    verb = "has" if len(names) == 1 else "have"
    who = _listed([LABELS[name] for name in names])
    subject = f"{who[0].upper()}{who[1:]}"
    return f"{subject} {verb} a better {label}@{CUTOFF} {protocol}: {values} against {own}{note}."


def _listed(texts: Sequence[str]) -> str:
    """Texts as in a sentence: 'a', 'a and b', 'a, b and c'."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
