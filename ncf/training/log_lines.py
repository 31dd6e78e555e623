"""Log line of an epoch, from which SageMaker reads its metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ncf.artifacts.samples import FitName

_DIGITS: Mapping[str, str] = {
    "loss": ".4f",
    "hr_at_10": ".4f",
    "ndcg_at_10": ".4f",
    "seconds": ".1f",
    "samples_per_second": ".0f",
}
"""Metrics of an epoch's line, and their format."""

FITS: tuple[FitName, ...] = ("selection", "final", "hosted")
"""``selection`` chooses the number of epochs on the validation positives; ``final`` trains the model that is evaluated,
``hosted`` the one that is hosted, on all positives."""


def epoch_line(fit: str, epoch: int, values: Mapping[str, float]) -> str:
    """``fit=selection epoch=3 loss=0.2713 hr_at_10=0.6512 ...``; absent metrics are omitted."""
    known = [f"{name}={values[name]:{digits}}" for name, digits in _DIGITS.items() if name in values]
    return " ".join([f"fit={fit}", f"epoch={epoch}", *known])


def parse_epoch_line(line: str) -> dict[str, str]:
    """Values of an epoch's line by name, ``fit`` and ``epoch`` first; empty for any other line."""
    found = re.search(r"\bfit=\w+ epoch=\d+( \w+=[0-9.]+)*", line)
    return dict(word.split("=", 1) for word in found[0].split()) if found else {}


def metric_definitions() -> list[dict[str, str]]:
    """SageMaker's ``MetricDefinitions`` (40 at most) for the epoch lines of all fits.

    A metric is named ``selection:hr_at_10``; its expression finds the number in the fit's lines.
    """
    validation_only = ("hr_at_10", "ndcg_at_10")
    return [
        {"Name": f"{fit}:{name}", "Regex": rf"fit={fit} epoch=\d+ .*?\b{name}=([0-9.]+)"}
        for fit in FITS
        for name in _DIGITS
        if fit == "selection" or name not in validation_only
    ]
