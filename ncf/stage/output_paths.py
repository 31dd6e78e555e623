"""Where a stage reads and writes: nothing may be written over that it reads, or that no stage has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ncf.artifacts import manifest
from ncf.errors import InputError
from ncf.stage.declaration import Stage
from ncf.storage import is_s3


def check_places(stage: Stage) -> None:
    """Refuse, before any work is done, outputs that would destroy something.

    A folder is replaced only where it is empty or what a stage has written, a file only by a file.

    Raises:
        InputError: that names the parameter and the place.
    """
    outputs = {name: Path(getattr(stage, name)) for name in stage.outputs()}
    read = (*stage.inputs(), *stage.read_too)
    inputs = {name: Path(place) for name in read if (place := getattr(stage, name)) and not is_s3(place)}
    for name, place in outputs.items():
        at_fault = f"{stage.command_name()}: parameter '{name}' is '{place}'"
        others = {other: path for other, path in outputs.items() if other != name}
        if clause := overlap(place, {**inputs, **others}):
            raise InputError(f"{at_fault}, {clause}; choose another place")
        if stage.outputs()[name].is_folder:
            if place.exists() and not place.is_dir():
                raise InputError(f"{at_fault}, which is a file; expected a folder, or a place where nothing is yet")
            if place.is_dir() and (foreign := manifest.foreign(place)):
                raise InputError(
                    f"{at_fault}: that folder is there already and holds '{foreign}', which no stage has written; "
                    "choose another place, or an empty folder"
                )
        elif place.is_dir():
            raise InputError(f"{at_fault}, which is a folder; expected the name of a file")


def overlap(place: Path, others: Mapping[str, Path]) -> str:
    """How a place overlaps with another, given by name: a relative clause; '' if with none."""
    place = place.resolve()
    for name, other in others.items():
        path = other.resolve()
        if path == place:
            return f"which is '{name}' too"
        if path.is_relative_to(place):
            return f"which contains '{name}' ('{other}')"
        if place.is_relative_to(path):
            return f"which lies inside '{name}' ('{other}')"
    return ""
