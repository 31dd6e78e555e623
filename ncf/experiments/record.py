"""What MLflow records of a pipeline run, within MLflow's bounds.

https://mlflow.org/docs/latest/ml/tracking/
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RUN_TAG = "ncf.run"
"""Tag with the ID of the pipeline run, by which a retried pod finds the MLflow run."""
MAX_PARAMETER, MAX_TAG = 6000, 5000
"""Characters of a parameter's and of a tag's value, at most. MLflow 2 accepts 5000 of a tag, MLflow 3 accepts 8000."""
_BY_EPOCH = {"loss": "loss", "hr_at_10": "validation_hr_at_10", "ndcg_at_10": "validation_ndcg_at_10"}
"""Key of an epoch in history.json -> metric in MLflow."""


@dataclass(frozen=True)
class Record:
    """A pipeline run.

    Attributes:
        run: its ID.
        hyperparameters: of the model's manifest.
        history: content of the model's ``history.json``.
        metrics: of evaluate; only its numbers are recorded.
        facts: further tags, by name without prefix; empty ones are left out.
        pages: file name -> HTML.
    """

    run: str
    hyperparameters: Mapping[str, Any]
    history: Mapping[str, Any]
    metrics: Mapping[str, Any]
    facts: Mapping[str, str]
    pages: Mapping[str, str]

    def parameters(self) -> dict[str, str]:
        """Hyperparameters as texts: those that are not texts as JSON."""
        texts = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in self.hyperparameters.items()
        }
        return {name: text[:MAX_PARAMETER] for name, text in texts.items()}

    def tags(self) -> dict[str, str]:
        """Tags, with the prefix ``ncf.``."""
        facts = {f"ncf.{name}": value[:MAX_TAG] for name, value in self.facts.items() if value}
        return {RUN_TAG: self.run, **facts}

    def measured(self) -> Iterator[tuple[str, float, int]]:
        """Metrics as (name, value, step): those of validation by epoch, and those of evaluate at step 0.

        The epochs are those of the fit that selects the number of epochs, and without validation of the final fit.
        """
        for entry in self.history["selection"] or self.history["final"]:
            for key, name in _BY_EPOCH.items():
                if _is_number(entry.get(key)):
                    yield name, float(entry[key]), int(entry["epoch"])
        for name, value in self.metrics.items():
            if _is_number(value):
                yield name, float(value), 0

    @property
    def milliseconds(self) -> int:
        """Time of the fit, in milliseconds since 1970: the time of all metrics, so that a retry repeats the same."""
        return round(datetime.fromisoformat(self.history["trained_at"]).timestamp() * 1000)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
