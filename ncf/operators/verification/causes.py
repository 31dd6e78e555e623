"""Likely causes of a difference between a model and its new fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.artifacts.provenance import Provenance

_OF_CODE = ("version", "commit", "code")
_OF_MACHINE: Mapping[str, str] = {
    "torch": "torch",
    "numpy": "numpy",
    "hardware": "hardware",
    "compiled_step": "the compiled training step",
    "threads": "threads of a process",
    "processes": "processes",
}
_SHOWN = 12  # characters of a digest
_UNCHANGED = (
    "the weights or the manifest were changed after the fit, or the seed or another setting is not the one that was "
    "used: data, code, threads, libraries and hardware are those that the manifest names"
)


def other_code(recorded: Provenance, here: Provenance) -> str:
    """How the code differs from the recorded one; '' if it does not."""
    same = all(getattr(recorded, name) == getattr(here, name) for name in _OF_CODE if name != "commit")
    return "" if same else f"code: {recorded.built_from or 'not recorded'}; here {here.built_from}"


def other_lists(recorded: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
    """How the lists of forgotten users differ from those at the time of the fit; '' if they do not.

    Args:
        recorded: the data set in the ``source`` of the model.
        prepared: manifest of the data set that was prepared again.
    """
    before, now = recorded.get("forgotten", ""), prepared["source"].get("forgotten", "")
    where = recorded["parameters"].get("forgotten_uri", "")
    return "" if before == now else f"the lists of forgotten users at {where} are not those of the time of the fit"


def likely_causes(recorded: Provenance, here: Provenance) -> list[str]:
    """What differs between the fit of a model and a new one, the likeliest cause of other bytes first.

    Args:
        recorded: provenance of the model.
        here: provenance of the new fit.
    """
    causes = [found] if (found := other_code(recorded, here)) else []
    for name, what in _OF_MACHINE.items():
        before, now = recorded.machine.get(name, ""), here.machine.get(name, "")
        if before != now:
            causes.append(f"{what}: {_shown(name, before)}; here {_shown(name, now)}")
    return causes or [_UNCHANGED]


def other_settings(parameters: Mapping[str, Any], history: Mapping[str, Any]) -> list[str]:
    """Hyperparameters in the manifest that are not those in the history of the fit.

    Args:
        parameters: of the model's manifest.
        history: content of ``history.json``.
    """
    used = history.get("hyperparameters")
    if not isinstance(used, dict):
        return []
    names = sorted(parameters.keys() | used.keys(), key=lambda name: (name != "seed", name))
    return [
        f"{name} is {parameters.get(name)!r} in the manifest, {used.get(name)!r} in history.json"
        for name in names
        if parameters.get(name) != used.get(name)
    ]


def _shown(name: str, value: str) -> str:
    return value[: _SHOWN if name == "compiled_step" else None] or "none"
