"""What is trained can be asked for: ids are no longer than requests may have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ncf.artifacts.ids import MAX_ID_LENGTH
from ncf.data.preparation import Settings, prepare
from ncf.errors import InputError


def interactions(path: Path, role: str, long: str) -> Path:
    users, items = ([long, "u1"], ["i1", "i2", "i3"]) if role == "user" else (["u1", "u2"], [long, "i1", "i2"])
    pairs = [(user, item) for user in users for item in items]
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    return path


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize("character", ["x", "ü", "🎬"])
def test_an_id_that_nobody_could_ask_for_is_refused(tmp_path: Path, role: str, character: str) -> None:
    longest = character * MAX_ID_LENGTH
    dataset = prepare(interactions(tmp_path / "good.csv", role, longest), Settings()).dataset
    assert longest in list(getattr(dataset, f"{role}_ids"))
    bad = interactions(tmp_path / "bad.csv", role, longest + character)
    with pytest.raises(
        InputError,
        match=rf"bad\.csv: {role} id '{character * 40}\.\.\.' has 513 characters; expected 512 .*'{role}_column'",
    ):
        prepare(bad, Settings())
