"""Ids of files that went wrong: each id of the file asks for the id that preprocess trains on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ncf.api.requests import Invocation, parse
from ncf.data.preparation import Settings, prepare

CASES = Path(__file__).parents[3] / "shared" / "cases"


def padded(path: Path) -> Path:
    rows = [(f" C{user:<6}", f"{item}  ", 1577836800 + item) for user in range(5) for item in range(user, user + 6)]
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows))
    return path


@pytest.mark.parametrize("name", ["padded", "pad.csv"])
def test_an_id_of_the_file_asks_for_the_trained_id(tmp_path: Path, name: str) -> None:
    path = padded(tmp_path / "padded.csv") if name == "padded" else CASES / name
    if not path.is_file():
        pytest.skip(f"the case is not at {path}")
    trained = set(prepare(path, Settings()).dataset.user_ids)
    with path.open(newline="") as stream:
        written = {row["user_id"] for row in csv.DictReader(stream)}
    asked = set()
    for user in written:
        request = parse(json.dumps({"users": [user]}).encode())
        assert isinstance(request, Invocation)
        asked.add(request.users[0])
    assert asked == trained
    assert written != trained, "the file has ids that are read"
