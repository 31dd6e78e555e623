"""Where a baseline ranks better than the model: what whoever releases or buys a model should read first."""

from __future__ import annotations

from ncf.evaluation.summary import CUTOFF, Summary
from ncf.reports.evaluation_plots import LABELS, in_order

_WHERE = {"": "among candidates", "full_": "over the full catalogue"}
_METRICS = {"ndcg": "NDCG", "hr": "HR", "recall": "Recall", "mrr": "MRR"}
"""The one that says most of an order first."""
_SHOWN = 5e-5
"""Below half of the last digit shown the two figures would read alike."""


def better_baselines(summary: Summary) -> list[str]:
    """A sentence for each way of ranking in which baselines have better means than the model; none otherwise.

    Each baseline is named once for each way, with the first metric in which it is better: NDCG, HR, Recall, MRR. A
    difference whose 95 % interval holds 0 is told as such.
    """
    return [
        sentence
        for prefix, where in _WHERE.items()
        for metric, names in _first_wins(summary, prefix).items()
        for sentence in [_sentence(summary, names, where, prefix + metric, _METRICS[metric.partition("_")[0]])]
    ]


def _first_wins(summary: Summary, prefix: str) -> dict[str, list[str]]:
    """Metric -> baselines that are better in it and in none before it."""
    found: dict[str, list[str]] = {}
    for name in in_order(summary.gains):
        gains = summary.gains[name]
        metrics = [f"{metric}_at_{CUTOFF}" for metric in _METRICS]
        if won := next((one for one in metrics if (gain := gains.get(prefix + one)) and gain.mean < -_SHOWN), None):
            found.setdefault(won, []).append(name)
    return found


def _sentence(summary: Summary, names: list[str], where: str, metric: str, label: str) -> str:
    values = " and ".join(f"{summary.of_rankers[name][metric].mean:.4f}" for name in names)
    own = f"{summary.of_rankers['model'][metric].mean:.4f}"
    unsure = [LABELS[name] for name in names if summary.gains[name][metric].high >= 0]
    hedge = f" (for {' and '.join(unsure)} within what the choice of test users explains)" if unsure else ""
    verb = "ranks" if len(names) == 1 else "rank"
    who = " and ".join(LABELS[name] for name in names)
    return f"{who[0].upper()}{who[1:]} {verb} better {where}: {label}@{CUTOFF} {values} against {own}{hedge}."
