"""The stages of a model once more, with their recorded parameters, as processes: ``python -m ncf STAGE``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ncf.artifacts.provenance import IMAGE_VARIABLE, JOB_VARIABLE, LOCATIONS, RUN_VARIABLE
from ncf.aws.settings import AwsAccess
from ncf.data.comparison_settings import ComparisonSettings
from ncf.errors import InputError
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.training.hyperparameters import Hyperparameters

_NOT_OF_DATA = {"interactions_uri", "items"}.union(
    *(settings.model_fields for settings in (AwsAccess, ChampionSettings, ComparisonSettings))
)
"""Parameters of preprocess that say where data lie, who reads them and what they are compared with."""
_OF_PROCESSES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def prepare(data: str, items: str, parameters: Mapping[str, Any], folder: Path) -> Path:
    """The data set of raw interactions.

    Args:
        data: path or S3 URI of the interactions.
        items: path or S3 URI of the titles; '' for those beside the data.
        parameters: of preprocess.
        folder: for the outputs.
    """
    given = {name: value for name, value in parameters.items() if name not in _NOT_OF_DATA}
    outputs = {"dataset": folder / "dataset", "report": folder / "report.html", "metrics": folder / "dataset.json"}
    _run("preprocess", {**given, "interactions_uri": data, "items": items, **outputs})
    return outputs["dataset"]


def sample(dataset: Path, parameters: Mapping[str, Any], folder: Path) -> Path:
    """The samples of a data set.

    Args:
        dataset: folder.
        parameters: of negative-sampling.
        folder: for the output.
    """
    _run("negative-sampling", {**parameters, "dataset": dataset, "samples": folder / "samples"})
    return folder / "samples"


def fit(
    inputs: Mapping[str, str | Path], hyperparameters: Mapping[str, Any], machine: Mapping[str, Any], folder: Path
) -> Path:
    """A new fit on CPUs, with as many processes and threads as before.

    Args:
        inputs: folders of ``dataset`` and ``samples``, and of ``warm_start`` if there was one.
        hyperparameters: of the model.
        machine: what the model was fitted on, from its manifest.
        folder: for the output.

    Raises:
        InputError: if torch is not installed, a hyperparameter is unknown, or the fit fails.
    """
    if find_spec("torch") is None:
        raise InputError("a new fit needs torch: install the extra 'train', as in pip install 'ncf[train]'")
    if unknown := sorted(hyperparameters.keys() - Hyperparameters.model_fields.keys()):
        raise InputError(
            f"the manifest of the model has the hyperparameters {', '.join(unknown)}, which this version of ncf does "
            "not know; verify the model with the version that has fitted it"
        )
    settings = {
        **hyperparameters,
        "device": "cpu",
        "processes_per_host": machine.get("processes", 1),
        "threads": machine.get("threads", 0),
    }
    model = folder / "model"
    _run("fit", {**settings, **inputs, "trained_model": model, "metrics": folder / "fit.json"})
    return model


def _run(command: str, values: Mapping[str, Any]) -> None:
    """Run a command of ncf; its log goes to stderr."""
    flags = [f"--{name.replace('_', '-')}={_text(value)}" for name, value in values.items()]
    left_out = {RUN_VARIABLE, IMAGE_VARIABLE, JOB_VARIABLE, *LOCATIONS.values(), *_OF_PROCESSES}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    ran = subprocess.run([sys.executable, "-m", "ncf", command, *flags], env=environment, stdout=subprocess.DEVNULL)
    if ran.returncode:
        raise InputError(f"'ncf {command}' with the recorded parameters ended with status {ran.returncode}; see above")


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)
