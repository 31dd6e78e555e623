"""Raw ids, titles and histories by index, for the clients of exported networks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ncf.artifacts.model_folder import ModelFolder

USER_IDS = "user_ids.json"


def write(folder: Path, model: ModelFolder) -> None:
    """Write ``user_ids.json``, ``item_ids.json``, ``item_titles.json`` and the arrays of seen items.

    A list has one entry for each index, so that the place of a raw id is its index. ``seen_items.npy`` and
    ``seen_offsets.npy`` are as in the model folder.
    """
    _write_list(folder / USER_IDS, model.user_ids)
    _write_list(folder / "item_ids.json", model.item_ids)
    if model.item_titles is not None:
        _write_list(folder / "item_titles.json", model.item_titles)
    model.seen.save(folder, "seen")


def _write_list(path: Path, texts: Iterable[str]) -> None:
    """Write a list of JSON, one text a line."""
    with path.open("w", encoding="utf-8") as stream:
        lines = (json.dumps(text, ensure_ascii=False) for text in texts)
        stream.write("[\n" + ",\n".join(lines) + "\n]\n")
