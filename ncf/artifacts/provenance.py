"""Provenance of a model: the data set, the code and the run that it was made of, in the ``source`` of its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ncf

RUN_VARIABLE, IMAGE_VARIABLE, JOB_VARIABLE = "NCF_RUN_ID", "NCF_IMAGE", "TRAINING_JOB_NAME"
"""Environment variables of the training container. The train stage sets the first two, SageMaker sets the third."""
COMMIT_VARIABLE = "NCF_COMMIT"
"""Environment variable of the image ``ncf-train``: the commit that it was built from."""
_MAX_TEXT = 200
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
        fingerprint: SHA-256 of the data set.
        files: names of the files that the data set was read from.
        counts: of the data set: users, items and the sizes of its parts.
        parameters: of the preprocess stage.
    """

    run: str = ""
    training_job: str = ""
    image: str = ""
    version: str = ""
    commit: str = ""
    fingerprint: str = ""
    files: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Provenance:
        """Read it from a manifest, which may come from outside: values of other types are left out, long ones cut."""
        source = _object(manifest.get("source"))
        dataset = _object(source.get("dataset"))
        files = dataset.get("files")
        counts, parameters = _object(dataset.get("counts")), _object(dataset.get("parameters"))
        texts = {
            name: _text(source.get(name))
            for name in ("run", "training_job", "image", "version", "commit", "fingerprint")
        }
        return cls(
            **texts,
            files=tuple(map(_text, files[:_MAX_FILES])) if isinstance(files, list) else (),
            counts={name: value for name, value in counts.items() if isinstance(value, int)},
            parameters={name: _text(value) for name, value in parameters.items()},
        )


def source_of_model(dataset: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """The ``source`` of a model's manifest.

    Args:
        dataset: manifest of the data set.
        fingerprint: of the data set.
    """
    variables = {
        "run": RUN_VARIABLE,
        "image": IMAGE_VARIABLE,
        "training_job": JOB_VARIABLE,
        "commit": COMMIT_VARIABLE,
    }
    return {
        "fingerprint": fingerprint,
        "version": ncf.__version__,
        **{name: value for name, variable in variables.items() if (value := os.environ.get(variable))},
        "dataset": {
            "files": files if isinstance(files := _object(dataset.get("source")).get("files"), list) else [],
            "counts": dataset["counts"],
            "parameters": dataset["parameters"],
        },
    }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return str(value)[:_MAX_TEXT] if isinstance(value, str | int | float) else ""
