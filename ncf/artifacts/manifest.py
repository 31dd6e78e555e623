"""``manifest.json``: content, origin and checksums of a folder between two stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ncf.errors import InputError
from ncf.storage import sha256

FILE_NAME = "manifest.json"
SCHEMA_VERSION = 1


def write(
    folder: Path,
    kind: str,
    counts: Mapping[str, int],
    parameters: Mapping[str, Any],
    source: Mapping[str, Any],
) -> None:
    """Write the manifest of a folder, after all other files.

    Args:
        folder: to describe.
        kind: of the folder, such as ``dataset``, ``samples`` or ``model``.
        counts: sizes, such as ``{"users": 610}``.
        parameters: of the stage that wrote the folder.
        source: origin of the folder, with a ``fingerprint``.
    """
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE_NAME
    }
    content = {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "counts": dict(counts),
        "parameters": dict(parameters),
        "source": dict(source),
        "files": files,
    }
    (folder / FILE_NAME).write_text(json.dumps(content, indent=2) + "\n")


def read(folder: Path, kind: str) -> dict[str, Any]:
    """Read the manifest of a folder and check the files in it.

    Listed files may be missing, as a sharded channel has only a part of them; see :func:`require`.

    Args:
        folder: with a manifest.
        kind: expected kind of the folder.

    Returns:
        Content of the manifest.

    Raises:
        InputError: if the folder or manifest is missing or unreadable, has another kind or schema version, or a file
            differs from its size or checksum.
    """
    path = folder / FILE_NAME
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a {kind} folder with a {FILE_NAME}")
    try:
        content = json.loads(path.read_text())
        found, version, files = content["kind"], content["schema_version"], content["files"]
        listed = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except FileNotFoundError:
        raise InputError(f"{folder}: no {FILE_NAME}, so this is not a {kind} folder or it is not complete") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a manifest of a {kind} folder: {error}") from None
    if found != kind:
        raise InputError(f"{path}: this is a '{found}' folder; a '{kind}' folder is needed here")
    if version != SCHEMA_VERSION:
        raise InputError(f"{path}: schema version {version}; this version of ncf reads {SCHEMA_VERSION}")
    for name, (size, digest) in listed.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{path}: lists '{name}', which lies outside the folder")
        file = folder / name
        if not file.is_file():
            continue
        if file.stat().st_size != size:
            raise InputError(
                f"{file}: has {file.stat().st_size} bytes, the manifest says {size}; copy the folder again"
            )
        if sha256(file) != digest:
            raise InputError(f"{file}: checksum differs from the manifest's; copy the folder again")
    return dict(content)


def foreign(folder: Path) -> str:
    """Path of a file that the manifest does not list, relative to the folder; '' if there is none.

    A folder without such a file was written by a stage and may be replaced.
    """
    try:
        content = json.loads((folder / FILE_NAME).read_text())
        listed = {FILE_NAME, *content["files"]} if {"kind", "schema_version"} <= content.keys() else set()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        listed = set()
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return next((name for name in names if name not in listed), "")


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 of a folder, from the checksums of all its files."""
    lines = "".join(f"{name} {entry['sha256']}\n" for name, entry in sorted(content["files"].items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def version(content: Mapping[str, Any]) -> str:
    """Version of a folder: the first 12 hexadecimal digits of its fingerprint."""
    return fingerprint(content)[:12]


def version_of(folder: Path) -> str:
    """The version of a folder that this process has written; its files are not checked."""
    return version(json.loads((folder / FILE_NAME).read_text()))


def require(folder: Path, *names: str) -> None:
    """Check that files exist.

    Raises:
        InputError: with the first file that is missing.
    """
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; the folder is not complete")
