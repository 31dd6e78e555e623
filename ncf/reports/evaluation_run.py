"""Sections of the evaluation report on the run: model, data, code and settings."""

from __future__ import annotations

from collections.abc import Mapping

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.provenance import Provenance
from ncf.reports.html import Section, Table, settings_table
from ncf.reports.numbers import count
from ncf.training.hyperparameters import Hyperparameters

_PREPROCESSING = (
    *("split", "test_after", "validation_after", "min_rating", "min_user_interactions", "min_item_interactions"),
    "duplicates",
)
"""Parameters of preprocess that decide which interactions the data set holds."""


def run_section(model: ModelFolder, provenance: Provenance, test_items: int) -> Section:
    """The run, the model and the data set. What the model's manifest does not say is left out.

    Args:
        model: the evaluated model.
        provenance: of the model.
        test_items: number of test items.
    """
    digests = {
        "raw files": provenance.raw,
        "data set": provenance.fingerprint,
        "samples": provenance.samples,
        "warm start": provenance.warm_start,
    }
    trained = str(model.history.get("trained_at") or "")
    rows = {
        "Run": provenance.run,
        "Training job": provenance.training_job,
        "Trained": f"{trained[:16].replace('T', ' ')} UTC" if trained else "",
        "Model": f"{model.config.model}, version {model.version}",
        "Code": provenance.built_from,
        "Fitted on": _machine(provenance.machine),
        "Training image": provenance.image,
        "Data": ", ".join(provenance.files),
        "Fingerprints": ", ".join(f"{what} {digest[:12]}" for what, digest in digests.items() if digest),
        "Users and items": f"{count(model.config.n_users)} users, {count(model.config.n_items)} items",
        "Interactions": _interactions(model, provenance, test_items),
        "Preprocessing": ", ".join(
            f"{name} {value}" for name in _PREPROCESSING if (value := provenance.parameters.get(name))
        ),
    }
    return Section("Run", tables=[Table(("", ""), [(name, value) for name, value in rows.items() if value])])


def _machine(machine: Mapping[str, str]) -> str:
    if not machine:
        return ""
    units = f"{machine.get('processes', '?')} x {machine.get('threads', '?')} threads"
    return f"{machine.get('device', '')} ({machine.get('hardware', '')}), {units}, torch {machine.get('torch', '')}"


def _interactions(model: ModelFolder, provenance: Provenance, test_items: int) -> str:
    counts = provenance.counts
    if "train" not in counts or "validation" not in counts:
        return f"{count(len(model.train.items))} for the fit, {count(test_items)} for the test"
    parts = (("training", counts["train"]), ("validation", counts["validation"]), ("test", test_items))
    return ", ".join(f"{count(number)} {name}" for name, number in parts)


def settings_sections(model: ModelFolder, evaluation: Table) -> list[Section]:
    """The hyperparameters of the model, where its history has them, and the parameters of the evaluation.

    Args:
        model: the evaluated model.
        evaluation: parameters of the stage.
    """
    sections = [Section("Settings of the evaluation", tables=[evaluation])]
    hyperparameters = model.history.get("hyperparameters")
    if hyperparameters and isinstance(hyperparameters, dict):
        table = settings_table(hyperparameters, Hyperparameters.model_fields)
        sections.insert(0, Section("Settings of the training", tables=[table]))
    return sections
