"""Provenance: what a training container writes is what the report reads; a manifest from outside breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest

import ncf
from ncf.artifacts.provenance import Provenance, source_of_model

DATASET = {
    "counts": {"users": 2, "items": 3, "train": 4, "validation": 1, "test": 1},
    "parameters": {"split": "leave_one_out", "min_rating": 3.5, "items": ""},
    "source": {"fingerprint": "raw", "files": ["ratings.csv", "movies.csv"]},
}


def test_a_training_container_knows_its_run_image_and_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCF_RUN_ID", "run-7")
    monkeypatch.setenv("NCF_IMAGE", "host/ncf-train:abc")
    monkeypatch.setenv("TRAINING_JOB_NAME", "ncf-1")
    found = Provenance.of({"source": source_of_model(DATASET, "f00d")})
    assert found == Provenance(
        run="run-7",
        training_job="ncf-1",
        image="host/ncf-train:abc",
        version=ncf.__version__,
        fingerprint="f00d",
        files=("ratings.csv", "movies.csv"),
        counts=DATASET["counts"],
        parameters={"split": "leave_one_out", "min_rating": "3.5", "items": ""},
    )


def test_elsewhere_what_is_unknown_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCF_RUN_ID", "NCF_IMAGE", "TRAINING_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    source = source_of_model({**DATASET, "source": {}}, "f00d")
    assert source.keys() == {"fingerprint", "version", "dataset"}
    assert (Provenance.of({"source": source}).run, Provenance.of({"source": source}).files) == ("", ())


@pytest.mark.parametrize(
    "source",
    [
        None,
        [],
        {"run": ["x"], "version": {"a": 1}, "dataset": "ratings.csv"},
        {"dataset": {"files": "ratings.csv", "counts": [1], "parameters": 3}},
        {"dataset": {"counts": {"train": "many"}}},
    ],
)
def test_values_of_other_types_are_left_out(source: Any) -> None:
    assert Provenance.of({"source": source}) == Provenance()


def test_long_values_are_cut() -> None:
    found = Provenance.of({"source": {"run": "x" * 10_000, "dataset": {"files": ["y" * 10_000] * 10_000}}})
    assert len(found.run) == 200
    assert len(found.files) == 20
    assert {len(name) for name in found.files} == {200}
