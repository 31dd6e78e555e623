"""Titles of items, from a table of their own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ncf.artifacts.ids import MAX_TITLE_LENGTH, canonical_id
from ncf.data.columns import Column, plain_name
from ncf.data.numbers import casts
from ncf.data.reading import ITEM_NAMES
from ncf.data.tables import read_blocks
from ncf.errors import InputError

TITLE_NAMES = ("title", "name", "itemtitle", "productname", "movietitle", "itemname", "label")
_HINT = "title|name"
_SHOWN = 3
_log = logging.getLogger(__name__)


def read_titles(
    path: Path, item_ids: Sequence[str], item_column: str = "", title_column: str = "", title_item_column: str = ""
) -> list[str]:
    """Title of each item, '' where it is unknown. The first of several rows of an item counts.

    The table is read as interactions are: same formats, same rule for ids, columns recognised or given, column 1 for
    items and 2 for titles without a header. Text that is not UTF-8 is read as Windows-1252, and titles of more than
    ``MAX_TITLE_LENGTH`` characters are cut; both is logged.

    Args:
        path: of the table.
        item_ids: raw ids of the items.
        item_column: name of the column of items in the interactions, accepted here too.
        title_column: name or number of the column of titles; '' to recognise it.
        title_item_column: name or number of the column of items in the table; '' to recognise it.

    Raises:
        InputError: if the table cannot be read, or has a title for none of the items.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    item_names = (*filter(None, [plain_name(item_column)]), *ITEM_NAMES, "id")
    columns = (
        Column("item", item_names, 1, title_item_column, parameter="title_item_column"),
        Column("title", TITLE_NAMES, 2, title_column, kinds=("text",), hint=_HINT),
    )
    title_of = dict.fromkeys(item_ids, "")
    rows, first = 0, list[str]()
    for block in read_blocks(path, columns, may_be_latin=True):
        for role in ("item", "title"):
            if not casts(block.columns[role], pa.string()):
                raise block.fault(role, 0, f"values of type {block.columns[role].type}; expected text")
        ids = [canonical_id(str(item)) for item in block.columns["item"].to_pylist()]
        titles = pc.utf8_trim_whitespace(block.columns["title"].cast(pa.string())).to_pylist()
        rows += block.rows
        first.extend(ids[: _SHOWN + 1 - len(first)])
        for item, title in zip(ids, titles, strict=True):
            if title and title_of.get(item) == "":
                title_of[item] = title
    if not any(title_of.values()):
        raise InputError(
            f"{path}: its {rows:,} rows have a title for none of the {len(item_ids):,} items; item ids of the "
            f"interactions: {_sample(item_ids)}; item ids of the table: {_sample(first)}; expected the same ids, "
            "one item a row, and a title in each; title_item_column and title_column name other columns, and "
            "title_column 'none' leaves titles out"
        )
    return _cut(path, title_of)


def _cut(path: Path, title_of: Mapping[str, str]) -> list[str]:
    """Titles of ``MAX_TITLE_LENGTH`` characters at most."""
    if long := [item for item, title in title_of.items() if len(title) > MAX_TITLE_LENGTH]:
        _log.warning(
            "%s: %s titles have more than %d characters and are cut, that of item '%s' first",
            path,
            f"{len(long):,}",
            MAX_TITLE_LENGTH,
            long[0],
        )
    return [
        title if len(title) <= MAX_TITLE_LENGTH else f"{title[: MAX_TITLE_LENGTH - 1]}…" for title in title_of.values()
    ]


def _sample(ids: Sequence[str]) -> str:
    """First ids, as text for a message."""
    shown = ", ".join(repr(item[:60]) for item in ids[:_SHOWN]) or "none"
    return f"{shown}, ..." if len(ids) > _SHOWN else shown
