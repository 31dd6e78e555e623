"""Readers of user ids in files: data sets, models and exports, tables, captured requests, archives of models."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ncf.artifacts.archive import SUFFIXES as ARCHIVES
from ncf.artifacts.ids import canonical_id
from ncf.data.columns import Column
from ncf.data.reading import USER_NAMES
from ncf.data.tables import is_table, read_blocks
from ncf.errors import InputError
from ncf.export.tables import USER_IDS

IDS, OFFSETS = "user_ids.bytes.npy", "user_ids.offsets.npy"
_LINES = (".jsonl", ".out")
"""Suffixes of JSON lines: captured requests, and answers of a batch transform job."""
_KEYS = ("user", "users")
_IDS_PER_BLOCK = 1 << 16
_SIDES = ("endpointInput", "endpointOutput")


def kind_of(name: str) -> str:
    """What a file is by its name: ``ids``, ``list``, ``archive``, ``lines``, ``table``, or '' without raw user ids."""
    path = Path(name)
    if path.name == IDS:
        return "ids"
    if path.name == USER_IDS:
        return "list"
    if path.name.endswith(ARCHIVES):
        return "archive"
    if path.suffix in _LINES:
        return "lines"
    return "table" if path.suffix and is_table(path) else ""


def ids_of_folder(folder: Path) -> Iterator[Sequence[str]]:
    """Blocks of the ids in a data set or model. Neither the manifest nor other files are needed."""
    data = np.load(folder / IDS, mmap_mode="r", allow_pickle=False)
    offsets = np.load(folder / OFFSETS, mmap_mode="r", allow_pickle=False)
    for start in range(0, len(offsets) - 1, _IDS_PER_BLOCK):
        positions = offsets[start : start + _IDS_PER_BLOCK + 1].tolist()
        text = data[positions[0] : positions[-1]].tobytes()
        yield [text[one - positions[0] : end - positions[0]].decode() for one, end in zip(positions, positions[1:])]


def ids_of_list(path: Path) -> Iterator[Sequence[str]]:
    """The ids in an export.

    Raises:
        InputError: if the file is not a list of JSON.
    """
    content = _json(path.read_text(encoding="utf-8"))
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of ids as JSON")
    yield [str(user) for user in content]


def ids_of_table(path: Path) -> Iterator[Sequence[str]]:
    """Blocks of the ids in the column of users of a table; none without such a column.

    Raises:
        InputError: if the file cannot be read.
    """
    for block in read_blocks(path, [Column("user", USER_NAMES, 1, required=False)]):
        if "user" in block.columns:
            distinct = block.columns["user"].unique().to_pylist()
            yield [canonical_id(_text(value)) for value in distinct if value is not None]


def ids_of_lines(path: Path) -> Iterator[Sequence[str]]:
    """The ids in each line of JSON: the values of ``user`` and ``users``, and the first column of captured CSV."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.strip():
                yield [canonical_id(_text(value)) for value in _values(_json(line))]


def _values(content: Any) -> Iterator[Any]:
    """Values of the keys of users, at any depth, and in captured bodies."""
    if isinstance(content, list):
        for entry in content:
            yield from _values(entry)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key in _KEYS:
            yield from value if isinstance(value, list) else [value]
        elif key in _SIDES and isinstance(value, dict):
            yield from _captured(value)
        else:
            yield from _values(value)


def _captured(side: dict[str, Any]) -> Iterator[Any]:
    """Values in the body of a captured request or answer: JSON, JSON lines or CSV."""
    text = str(side.get("data", ""))
    if side.get("encoding") == "BASE64":
        try:
            text = base64.b64decode(text).decode(errors="replace")
        except binascii.Error:
            return
    for body in [text] if _json(text) is not None else text.splitlines():
        content = _json(body)
        yield from [body.partition(",")[0].strip('"')] if content is None else _values(content)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
