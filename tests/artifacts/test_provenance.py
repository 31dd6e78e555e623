"""Provenance: what a training container writes is what the report reads; a manifest from outside breaks nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import ncf
from ncf.artifacts import provenance
from ncf.artifacts.provenance import Provenance, code_fingerprint, made_by, source_of_model

DATASET = {
    "counts": {"users": 2, "items": 3, "train": 4, "validation": 1, "test": 1},
    "parameters": {"split": "leave_one_out", "min_rating": 3.5, "items": ""},
    "source": {"fingerprint": "raw", "files": {"ratings.csv": "1f", "movies.csv": "2f"}},
}
SAMPLES = {"parameters": {"candidates": 99, "seed": 7}}
INPUTS = {"dataset": "f00d", "samples": "5a5a", "warm_start": "0ld"}
MACHINE: dict[str, str | int] = {"device": "cpu", "threads": 2}


def test_a_training_container_knows_its_run_image_and_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCF_RUN_ID", "run-7")
    monkeypatch.setenv("NCF_IMAGE", "host/ncf-train:abc")
    monkeypatch.setenv("TRAINING_JOB_NAME", "ncf-1")
    monkeypatch.setenv("NCF_COMMIT", "0123abc")
    monkeypatch.setenv("NCF_DATASET_URI", "s3://bucket/dataset")
    found = Provenance.of({"source": source_of_model(DATASET, SAMPLES, INPUTS, MACHINE)})
    assert found == Provenance(
        run="run-7",
        training_job="ncf-1",
        image="host/ncf-train:abc",
        version=ncf.__version__,
        commit="0123abc",
        code=code_fingerprint(),
        fingerprint="f00d",
        samples="5a5a",
        warm_start="0ld",
        raw="raw",
        files=("ratings.csv", "movies.csv"),
        counts=DATASET["counts"],
        parameters={"split": "leave_one_out", "min_rating": "3.5", "items": ""},
        machine={"device": "cpu", "threads": "2"},
        locations={"dataset": "s3://bucket/dataset"},
    )


def test_elsewhere_what_is_unknown_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCF_RUN_ID", "NCF_IMAGE", "NCF_COMMIT", "TRAINING_JOB_NAME", "NCF_DATASET_URI"):
        monkeypatch.delenv(name, raising=False)
    source = source_of_model({**DATASET, "source": {}}, SAMPLES, {"dataset": "f00d", "samples": "5a5a"}, {})
    assert source.keys() == {"fingerprint", "samples", "version", "code", "machine", "locations", "dataset", "sampling"}
    assert source["locations"] == {}
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


def test_a_pod_is_told_its_run_and_a_container_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCF_RUN_ID", "run-7")
    assert (made_by("run-8")["run"], made_by()["run"]) == ("run-8", "run-7")


def test_code_that_decides_what_is_written_has_a_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ncf"
    shutil.copytree(Path(ncf.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    own = code_fingerprint()
    monkeypatch.setattr(provenance.ncf, "__file__", str(package / "__init__.py"))
    assert code_fingerprint() == own, "an installed copy, without compiled code, is the same code"
    (package / "serving" / "page.py").write_text("")
    assert code_fingerprint() == own, "the page decides nothing about weights"
    loop = package / "training" / "loop.py"
    loop.write_text(loop.read_text() + "\n")
    assert code_fingerprint() != own


def test_code_is_named_by_what_is_known_of_it() -> None:
    assert (
        Provenance(version="0.1.0", commit="abc", code="f" * 64).built_from == "ncf 0.1.0, commit abc, code " + "f" * 12
    )
    assert Provenance(commit="abc").built_from == "commit abc"
    assert Provenance().built_from == ""
