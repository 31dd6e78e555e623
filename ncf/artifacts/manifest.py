"""``manifest.json``: content, origin and checksums of a folder between two stages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncf.artifacts.regular_files import exists, open_regular, parse_json, read_json, shown
from ncf.errors import InputError
from ncf.storage import digest, sha256

FILE_NAME = "manifest.json"
SCHEMA_VERSION = 1


_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class _File(BaseModel):
    model_config = ConfigDict(strict=True)

    bytes: _Count
    sha256: str


class _Content(BaseModel):
    """Types of a manifest's values."""

    model_config = ConfigDict(strict=True)

    counts: dict[str, _Count]
    parameters: dict[str, Any]
    source: dict[str, Any]
    files: dict[str, _File]


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
    content = read_unchecked(folder, kind)
    for fault in faults(folder, content):
        raise InputError(f"{fault}; copy the folder again")
    return content


def read_unchecked(folder: Path, *kinds: str) -> dict[str, Any]:
    """Read the manifest of a folder, without a check of the files in it.

    Args:
        folder: with a manifest.
        kinds: expected kind of the folder, or several that are accepted.

    Raises:
        InputError: if the folder or manifest is missing or unreadable, or has another kind or schema version.
    """
    path, kind = folder / FILE_NAME, " or ".join(kinds)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a {kind} folder with a {FILE_NAME}")
    if not exists(folder, FILE_NAME):
        raise InputError(f"{folder}: no {FILE_NAME}, so this is not a {kind} folder or it is not complete")
    return _content(path, kinds)


def faults(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """What differs from a manifest: a message for each file of another size or checksum. Files may be missing."""
    for name, entry in content["files"].items():
        if not exists(folder, name):
            continue
        with open_regular(folder, name) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != entry["bytes"]:
                yield f"{folder / name}: has {size} bytes, the manifest says {entry['bytes']}"
            elif digest(stream) != entry["sha256"]:
                yield f"{folder / name}: checksum differs from the manifest's"


def _content(path: Path, kinds: Sequence[str]) -> dict[str, Any]:
    """The content of a manifest, with valid types and names."""
    kind = " or ".join(kinds)
    try:
        content = parse_json(read_json(path.parent, path.name))
        found, version = content["kind"], content["schema_version"]
    except KeyError as error:
        raise InputError(f"{path}: not a manifest of a {kind} folder: {error} is missing") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a manifest of a {kind} folder: {error}") from None
    if found not in kinds:
        raise InputError(f"{path}: this is a {shown(found)} folder; a '{kind}' folder is needed here")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise InputError(f"{path}: schema version {shown(version)}; this version of ncf reads {SCHEMA_VERSION}")
    try:
        _Content.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))[:200]
        if first["type"] == "missing":
            raise InputError(f"{path}: not a manifest of a {kind} folder: {shown(field)} is missing") from None
        raise InputError(f"{path}: {field} is {shown(first['input'])}: {first['msg']}") from None
    for name in content["files"]:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or name == FILE_NAME:
            raise InputError(f"{path}: lists {shown(name)}, which lies outside the folder")
        if not name.isprintable():
            raise InputError(f"{path}: lists {shown(name)}; expected names without control characters")
    return dict(content)


def foreign(folder: Path) -> str:
    """Path of a file that the manifest does not list, relative to the folder; '' if there is none.

    A folder without such a file was written by a stage and may be replaced.
    """
    try:
        content = parse_json(read_json(folder, FILE_NAME))
        listed = {FILE_NAME, *content["files"]} if {"kind", "schema_version"} <= content.keys() else set()
    except (InputError, ValueError, LookupError, TypeError, AttributeError):
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


def check_counts(folder: Path, content: Mapping[str, Any], found: Mapping[str, int]) -> None:
    """Check the counts of a manifest against those of the arrays.

    Raises:
        InputError: with the first count that differs or is missing.
    """
    for name, count in found.items():
        if (stated := content["counts"].get(name)) != count:
            given = "missing" if stated is None else stated
            raise InputError(f"{folder / FILE_NAME}: counts.{name} is {given}; the files have {count}")


def require(folder: Path, *names: str) -> None:
    """Check that files exist.

    Raises:
        InputError: with the first file that is missing.
    """
    for name in names:
        if not exists(folder, name):
            raise InputError(f"{folder / name}: missing; the folder is not complete")
