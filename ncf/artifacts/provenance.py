"""Provenance of a folder: code, run and inputs that it was made of, in the ``source`` of its manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ncf
from ncf.artifacts.profile import KEY

RUN_VARIABLE, IMAGE_VARIABLE, JOB_VARIABLE = "NCF_RUN_ID", "NCF_IMAGE", "TRAINING_JOB_NAME"
"""Environment variables of the training container. The train stage sets the first two, SageMaker sets the third."""
DATASET_VARIABLE, SAMPLES_VARIABLE, START_VARIABLE = "NCF_DATASET_URI", "NCF_SAMPLES_URI", "NCF_WARM_START_URI"
"""Environment variables of the training container, set by the train stage: where its inputs lie."""
COMMIT_VARIABLE = "NCF_COMMIT"
"""Environment variable of the images: the commit that they were built from."""
LOCATIONS: Mapping[str, str] = {
    "dataset": DATASET_VARIABLE,
    "samples": SAMPLES_VARIABLE,
    "warm_start": START_VARIABLE,
}
"""Input of a fit -> the variable that says where it lies."""
_DECISIVE = ("artifacts", "data", "models", "sampling", "training")
"""Rooms of the package whose code decides what data sets, samples and models hold."""
_SOURCES = (".py", ".cpp", ".h")
_MAX_TEXT = 200
_MAX_URI = 1024
_MAX_FILES = 20


@dataclass(frozen=True)
class Provenance:
    """What a model's manifest says about its origin. Empty values are not known.

    Attributes:
        run: ID of the pipeline run.
        training_job: name of the SageMaker training job.
        image: of the training container.
        version: of the package ``ncf`` in that container.
        commit: of the source code in that container.
        code: SHA-256 of the source code in that container, see :func:`code_fingerprint`.
        fingerprint: SHA-256 of the data set.
        samples: SHA-256 of the samples.
        warm_start: SHA-256 of the earlier model that the fit started from.
        raw: SHA-256 of the raw files that the data set was read from.
        files: names of these files.
        counts: of the data set: users, items and the sizes of its parts.
        parameters: of the preprocess stage.
        machine: what the fit ran on, see :mod:`ncf.training.machine`.
        locations: where data set, samples and the earlier model were at the time of the fit.
    """

    run: str = ""
    training_job: str = ""
    image: str = ""
    version: str = ""
    commit: str = ""
    code: str = ""
    fingerprint: str = ""
    samples: str = ""
    warm_start: str = ""
    raw: str = ""
    files: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Provenance:
        """Read it from a manifest, which may come from outside: values of other types are left out, long ones cut."""
        source = _object(manifest.get("source"))
        dataset = _object(source.get("dataset"))
        files = dataset.get("files")
        counts, parameters = _object(dataset.get("counts")), _object(dataset.get("parameters"))
        names = ("run", "training_job", "image", "version", "commit", "code", "fingerprint", "samples", "warm_start")
        return cls(
            **{name: _text(source.get(name)) for name in names},
            raw=_text(dataset.get("fingerprint")),
            files=tuple(map(_text, files[:_MAX_FILES])) if isinstance(files, list) else (),
            counts={name: value for name, value in counts.items() if isinstance(value, int)},
            parameters={name: _text(value) for name, value in parameters.items()},
            machine={name: _text(value) for name, value in _object(source.get("machine")).items()},
            locations={name: _text(value, _MAX_URI) for name, value in _object(source.get("locations")).items()},
        )

    @property
    def built_from(self) -> str:
        """Version, commit and fingerprint of the code: ``ncf 0.1.0, commit 0123abc, code 4567def``."""
        parts = {"ncf": self.version, ", commit": self.commit, ", code": self.code[:12]}
        return "".join(f"{name} {value}" for name, value in parts.items() if value).lstrip(", ")


def made_by(run: str = "") -> dict[str, str]:
    """Code and run of this process for the ``source`` of a manifest. What is not known is left out.

    Args:
        run: ID of the pipeline run; '': that of the environment.
    """
    known = {
        "run": run or os.environ.get(RUN_VARIABLE),
        "image": os.environ.get(IMAGE_VARIABLE),
        "training_job": os.environ.get(JOB_VARIABLE),
        "version": ncf.__version__,
        "commit": os.environ.get(COMMIT_VARIABLE),
        "code": code_fingerprint(),
    }
    return {name: value for name, value in known.items() if value}


def source_of_model(
    dataset: Mapping[str, Any],
    samples: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    machine: Mapping[str, str | int],
) -> dict[str, Any]:
    """The ``source`` of a model's manifest.

    Args:
        dataset: manifest of the data set.
        samples: manifest of the samples.
        fingerprints: of data set and samples, and of the earlier model of a warm start, by :data:`LOCATIONS`' names.
        machine: what the fit ran on, from :func:`ncf.training.machine.machine`.
    """
    rest = dict(fingerprints)
    raw = _object(dataset.get("source"))
    files = raw.get("files")
    return {
        "fingerprint": rest.pop("dataset"),
        **rest,
        **made_by(),
        "machine": dict(machine),
        "locations": {name: found for name, variable in LOCATIONS.items() if (found := os.environ.get(variable))},
        "dataset": {
            "fingerprint": _text(raw.get("fingerprint")),
            "forgotten": _text(raw.get("forgotten")),
            "files": list(files) if isinstance(files, list | dict) else [],
            **({KEY: raw[KEY]} if KEY in raw else {}),
            "counts": dataset["counts"],
            "parameters": dataset["parameters"],
        },
        "sampling": samples["parameters"],
    }


def code_fingerprint() -> str:
    """SHA-256 of the names and bytes of the source code that decides what data sets, samples and models hold."""
    package = Path(ncf.__file__).parent
    digest = hashlib.sha256()
    for path in _sources(package):
        digest.update(f"{path.relative_to(package).as_posix()} ".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(package: Path) -> Iterator[Path]:
    for room in _DECISIVE:
        yield from sorted(path for path in (package / room).rglob("*") if path.suffix in _SOURCES)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any, characters: int = _MAX_TEXT) -> str:
    return str(value)[:characters] if isinstance(value, str | int | float) else ""
