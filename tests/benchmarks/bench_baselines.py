"""NDCG@10 on the whole catalogue of the baselines and of implicit ALS, all tuned on validation items.

``make bench-baselines [DATA=folder] [DATASETS=games,ml-latest-small,ml-1m]``. DATA holds a folder for each data set; by
default it is ``../shared/data`` beside the project. ALS is that of Hu, Koren and Volinsky 2008 from the library
`implicit` of the extra `test`. The last item of each user is ranked once, after all settings are chosen.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from ncf.evaluation import baselines, metrics
from ncf.evaluation.catalogue import rank
from ncf.evaluation.cooccurrence import interaction_matrix
from ncf.evaluation.names import LABELS
from ncf.evaluation.rankers import ItemScorer
from ncf.evaluation.tuning import Validation, climb
from ncf.reports.numbers import number
from tests.benchmarks.bench_reproduce import _ncf

DATA = Path(__file__).parents[3] / "shared" / "data"
DATASETS = {"games": "", "ml-latest-small": "ratings.csv", "ml-1m": ""}
"""Folder below DATA -> file of the interactions; '' for the folder itself."""
_GRIDS = {
    "alpha": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    "regularization": (0.01, 0.1, 1.0, 10.0, 100.0),
    "factors": (16, 32, 64, 128, 256),
}
_START = {"alpha": 2.0, "regularization": 1.0, "factors": 64}
_ITERATIONS = 15
_SEED = 1


@dataclass(frozen=True)
class Als:
    """Fitted ALS: the score of an item is the dot product of the factors."""

    users: np.ndarray
    items: np.ndarray

    def score_pairs(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        scores: np.ndarray = np.einsum("bf,bcf->bc", self.users[users], self.items[items])
        return scores

    def score_all(self, users: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self.users[users] @ self.items.T
        return scores


def als(train: ItemsByUser, n_items: int, settings: dict[str, float]) -> Als:
    """Implicit ALS: 1 + alpha is the confidence of an interaction."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(
        factors=int(settings["factors"]),
        regularization=settings["regularization"],
        alpha=settings["alpha"],
        iterations=_ITERATIONS,
        random_state=_SEED,
        use_gpu=False,
    )
    # a copy, as arrays of a folder are read-only, which the library does not accept
    model.fit(csr_matrix(interaction_matrix(train, n_items, np.float32), copy=True), show_progress=False)
    return Als(model.user_factors, model.item_factors)


def tuned_als(validation: Validation) -> dict[str, float]:
    """Settings of ALS with the best NDCG@10 on the validation items: one after the other, each to the better side."""
    settings = dict(_START)
    for name, grid in _GRIDS.items():

        def score(value: float, name: str = name) -> float:
            return validation.ndcg(als(validation.train, validation.n_items, {**settings, name: value}))

        settings[name] = climb(grid, settings[name], score)
    return settings


def of_samples(samples: Samples) -> list[dict[str, Any]]:
    """A row for each baseline."""
    n_items, selection, validation = samples.n_items, samples.exclusion, np.asarray(samples.validation)
    train = selection.union(validation[:, 0], validation[:, 1])
    start = time.monotonic()
    fitted = baselines.fit(train, n_items, selection, validation)
    seconds = time.monotonic() - start
    rankers: dict[str, ItemScorer] = dict(reversed(fitted.rankers.items()))
    settings, has_als = dict(fitted.settings), find_spec("implicit") is not None
    taken = dict.fromkeys(rankers, "") | {"popularity": f"{seconds:.0f} for all but ALS"}
    if has_als:
        start = time.monotonic()
        settings["ALS"] = tuned_als(Validation.drawn(selection, selection, n_items, validation, _SEED))
        rankers["ALS"] = als(train, n_items, settings["ALS"])
        taken["ALS"] = f"{time.monotonic() - start:.0f}"
    users = np.unique(samples.test[:, 0])
    found = rank(rankers, train, n_items, samples.test, users)
    rows = []
    for name, catalogue in found.items():
        rows.append(
            {
                "baseline": LABELS.get(name, name),
                "ndcg_at_10": float(metrics.user_ndcg(catalogue.ranked, 10).mean()),
                "hr_at_10": float(metrics.user_hits(catalogue.ranked, 10).mean()),
                "settings": ", ".join(f"{key} {number(value)}" for key, value in settings.get(name, {}).items()),
                "seconds": taken[name],
            }
        )
    if not has_als:
        rows.append(_empty("ALS", "skipped: the library implicit is not installed (make setup installs it)"))
    return rows


def _empty(baseline: str, reason: str) -> dict[str, Any]:
    return {"baseline": baseline, "ndcg_at_10": "", "hr_at_10": "", "settings": reason, "seconds": ""}


def run() -> list[dict[str, Any]]:
    """A row for each data set and baseline; one with the reason for what is missing."""
    data = Path(os.environ.get("DATA") or DATA)
    names = (os.environ.get("DATASETS") or ",".join(DATASETS)).split(",")
    rows = []
    for name in names:
        source = data / name / DATASETS.get(name, "")
        if not source.exists():
            rows.append({"data": name, **_empty("", f"skipped: {source} does not exist")})
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = {output: Path(folder) / output for output in ("dataset", "report", "metrics", "samples")}
            outputs = [f"--{output}={made[output]}" for output in ("dataset", "report", "metrics")]
            _ncf("preprocess", f"--interactions={source}", *outputs)
            _ncf("negative-sampling", f"--dataset={made['dataset']}", f"--samples={made['samples']}")
            rows += [{"data": name, **row} for row in of_samples(Samples.load(made["samples"]))]
        print(rows[-1], file=sys.stderr, flush=True)
    return rows
