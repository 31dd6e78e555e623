"""Titles of items, from a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ncf.data.columns import Column, plain_name
from ncf.data.reading import ITEM_NAMES
from ncf.data.tables import read_blocks
from ncf.errors import InputError

TITLE_NAMES = ("title", "name", "itemtitle", "productname", "movietitle", "itemname", "label")


def read_titles(path: Path, item_ids: Sequence[str], item_column: str = "", title_column: str = "") -> list[str]:
    """The title of each of ``item_ids``, '' where there is none; of several rows for an item the first counts.

    The table is read as interactions are: same formats, columns recognised or named, items 1 and titles 2
    without a header. ``item_column`` is what the interactions' column is called, if it was not recognised.

    Raises:
        InputError: if the table cannot be read, or none of the items is in it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = (
        Column("item", (plain_name(item_column), *ITEM_NAMES), 1),
        Column("title", TITLE_NAMES, 2, title_column),
    )
    wanted = dict.fromkeys(item_ids, "")
    for block in read_blocks(path, columns):
        ids, titles = (
            pc.utf8_trim_whitespace(block.columns[role].cast(pa.string())).to_pylist() for role in ("item", "title")
        )
        for item, title in zip(ids, titles, strict=True):
            if title and wanted.get(item) == "":
                wanted[item] = title
    if not any(wanted.values()):
        raise InputError(
            f"{path}: has a title for none of the {len(item_ids)} items; the interactions' items are called "
            f"{', '.join(repr(item) for item in item_ids[:3])} ...; is this the right file, or column?"
        )
    return list(wanted.values())
