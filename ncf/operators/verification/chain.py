"""The chain of fingerprints: model, samples, data set, raw data. Each manifest names the fingerprints of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest, model_folder
from ncf.artifacts import samples as samples_layout
from ncf.artifacts.archive import unpacked
from ncf.artifacts.model_folder import HISTORY
from ncf.artifacts.provenance import Provenance
from ncf.artifacts.regular_files import exists, parse_json, read_json
from ncf.errors import InputError
from ncf.operators.verification.causes import other_settings
from ncf.operators.verification.findings import Findings
from ncf.sagemaker.registry import properties
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.sagemaker.registry.package import Package

LINKS: Mapping[str, str] = {
    "dataset": dataset_layout.KIND,
    "samples": samples_layout.KIND,
    "warm_start": model_folder.KIND,
}
"""Inputs of a fit and their kinds."""


@dataclass(frozen=True)
class Model:
    """A model whose files are those of its manifest.

    Attributes:
        folder: of the model.
        content: of its manifest.
        provenance: what the manifest says about the origin.
    """

    folder: Path
    content: Mapping[str, Any]
    provenance: Provenance

    def recorded_values(self, *path: str) -> Mapping[str, Any]:
        """An object in the ``source`` of the manifest.

        Args:
            path: names from ``source`` to the object.

        Raises:
            InputError: if the manifest has none there.
        """
        found: Any = self.content["source"]
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise InputError(
                f"{self.folder / manifest.FILE_NAME}: has no source.{'.'.join(path)}, which a new fit needs: an "
                "earlier version of ncf wrote it"
            )
        return found

    def recorded(self, name: str) -> str:
        """Recorded fingerprint of an input; '' if it is not recorded."""
        return self.provenance.fingerprint if name == "dataset" else str(getattr(self.provenance, name))


@contextmanager
def opened(location: str, findings: Findings) -> Iterator[Model]:
    """A model at a path or S3 URI, a folder or an archive, after a check of its files and settings.

    Raises:
        InputError: if it is no model.
    """
    with local_copy(location) as path, unpacked(path) as folder:
        content = _checked(folder, model_folder.KIND, "model", findings)
        settings = []
        if not findings.differences and exists(folder, HISTORY):
            try:
                history = parse_json(read_json(folder, HISTORY))
            except ValueError as error:
                raise InputError(f"{folder / HISTORY}: not JSON: {error}") from None
            settings = other_settings(content["parameters"], history)
        for text in settings:
            findings.differs("settings", text)
        yield Model(folder, content, Provenance.of(content))


def check_package(package: Package, model: Model, findings: Findings) -> None:
    """Compare the fingerprints that a model package records with those of its model."""
    fingerprints = {
        "model": (package.properties.get(properties.MODEL_DIGEST, ""), manifest.fingerprint(model.content)),
        "data set": (package.properties.get(properties.FINGERPRINT, ""), model.recorded("dataset")),
    }
    equal = True
    for what, (recorded, found) in fingerprints.items():
        equal = equal and recorded == found
        if not recorded:
            findings.cannot_tell("package", f"{package.name} records no fingerprint of its {what}")
        elif recorded != found:
            findings.differs(
                "package", f"{package.name} records {recorded[:12]} for its {what}; the model has {found[:12]}"
            )
    if equal:
        of_run = f"of run {package.run}" if package.run else "of no run"
        findings.same("package", f"{package.name}, {package.status}, {of_run}: {package.model_uri}")


def _checked(folder: Path, kind: str, link: str, findings: Findings) -> dict[str, Any]:
    """The manifest of a folder, after a check of its files."""
    content = manifest.read_unchecked(folder, kind)
    if missing := [name for name in content["files"] if not exists(folder, name)]:
        raise InputError(f"{folder / missing[0]}: missing; the folder is not complete")
    if faults := list(manifest.faults(folder, content)):
        for fault in faults:
            findings.differs(link, fault)
        return content
    by = Provenance.of(content).built_from
    text = f"{len(content['files'])} files as in the manifest, version {manifest.version(content)}"
    findings.same(link, f"{text}, made by {by}" if by else text)
    return content


@contextmanager
def inputs(model: Model, given: Mapping[str, str], findings: Findings) -> Iterator[dict[str, Path]]:
    """Folders of the inputs of a fit that are there and are those that the manifest of the model names.

    Args:
        model: to verify.
        given: path or URI of each input; '' for the one in the manifest.
        findings: to which those of this check are added.

    Raises:
        InputError: if a given one is not a folder of its kind.
    """
    found: dict[str, Path] = {}
    with ExitStack() as stack:
        for name, kind in LINKS.items():
            location = given[name] or model.provenance.locations.get(name, "")
            if not location:
                continue
            try:
                folder = stack.enter_context(local_copy(location))
                content = _checked(folder, kind, name, findings)
            except InputError:
                if given[name]:
                    raise
                continue
            if _is_recorded(model, name, content, location, findings):
                found[name] = folder
        yield found


def _is_recorded(model: Model, name: str, content: Mapping[str, Any], location: str, findings: Findings) -> bool:
    """Whether the manifest of an input has the fingerprint that the model's names."""
    recorded, fingerprint = model.recorded(name), manifest.fingerprint(content)
    if fingerprint == recorded:
        return True
    if not recorded:
        findings.cannot_tell(name, "the manifest of the model names no fingerprint of it")
        return True
    findings.differs(
        name, f"other data: {location} has the fingerprint {fingerprint[:12]}, the model was fitted on {recorded[:12]}"
    )
    return False


def other_raw_data(model: Model, prepared: Mapping[str, Any], known: Mapping[str, Any] | None) -> str:
    """How raw data differ from those that a model's data set was read from; '' if they do not.

    Args:
        model: to verify.
        prepared: manifest of the data set that was prepared again.
        known: manifest of the data set of the model; None if it is not there.
    """
    source = prepared["source"]
    if source["fingerprint"] == model.provenance.raw:
        return ""
    files = known["source"].get("files") if known else None
    here = source["files"]
    if not isinstance(files, dict):
        return f"files {', '.join(here)} are not the bytes that {', '.join(model.provenance.files)} had"
    names = [name for name in sorted(files.keys() | here.keys()) if files.get(name) != here.get(name)]
    return f"{', '.join(names[:5])}: not the bytes that the data set was read from"
