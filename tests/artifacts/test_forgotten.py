"""Lists of forgotten users: hashes and no ids, and malformed ones are refused."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from ncf.artifacts import forgotten
from ncf.artifacts.forgotten import Forgotten, write
from ncf.errors import InputError


def test_a_list_holds_hashes_and_no_ids(tmp_path: Path) -> None:
    (path,) = write(tmp_path, ["anna", "ben"])
    text = path.read_text()
    assert not any(user in text for user in ("anna", "ben"))
    content = json.loads(text)
    expected = {hmac.digest(bytes.fromhex(content["salt"]), user, "sha256").hex() for user in (b"anna", b"ben")}
    assert set(content["users"]) == expected
    loaded = Forgotten.load(tmp_path)
    assert ("anna" in loaded, "ben" in loaded, "carl" in loaded, len(loaded)) == (True, True, False, 2)


def test_each_list_has_a_salt_of_its_own_and_all_lists_count(tmp_path: Path) -> None:
    (one,), (other,) = write(tmp_path, ["anna"]), write(tmp_path, ["anna", "ben"])
    assert json.loads(one.read_text())["salt"] != json.loads(other.read_text())["salt"]
    (tmp_path / ".DS_Store").write_text("x")
    loaded = Forgotten.load(tmp_path)
    assert "anna" in loaded
    assert "ben" in loaded
    assert "anna" in Forgotten.load(one)
    assert "ben" not in Forgotten.load(one)


def test_a_list_that_was_changed_is_refused(tmp_path: Path) -> None:
    """Although it is a list: a user in it would come back."""
    (path,) = write(tmp_path, ["anna", "ben"])
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "users": content["users"][:1]}, indent=0) + "\n")
    with pytest.raises(
        InputError, match=r"forgotten-\w{16}\.json: was changed after it was written.*; restore the file"
    ):
        Forgotten.load(tmp_path)


def test_the_fingerprint_depends_on_the_users_and_not_on_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    salt = b"s" * 32
    for name in ("whole", "parts", "other"):
        (tmp_path / name).mkdir()
    write(tmp_path / "whole", ["a", "b", "c"], salt)
    monkeypatch.setattr(forgotten, "_MAX_USERS", 2)
    assert len(write(tmp_path / "parts", ["c", "b", "a"], salt)) == 2
    write(tmp_path / "other", ["a", "b"], salt)
    whole, parts, other = (Forgotten.load(tmp_path / name).fingerprint() for name in ("whole", "parts", "other"))
    assert whole == parts != other


def test_an_empty_list_forgets_nobody(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert "anna" not in Forgotten.load(tmp_path)


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_a_place_without_lists_is_refused(where: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no list of forgotten users; 'ncf forget' writes one"):
        Forgotten.load(tmp_path / where)


def valid(**changes: Any) -> dict[str, Any]:
    return {"kind": "forgotten", "schema_version": 1, "salt": "a" * 64, "users": ["b" * 64], **changes}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("user\nanna\n", "not JSON"),
        ("[]", "content"),
        (json.dumps(valid())[:-1], "not JSON"),
        (valid(kind="dataset"), "kind is 'dataset'"),
        (valid(schema_version=2), "schema_version is 2"),
        (valid(salt=""), "salt is ''"),
        (valid(users=["anna"]), "users.0 is 'anna'"),
        (valid(users="b" * 64), "users is"),
        (valid(more=1), "more is 1"),
        ({key: value for key, value in valid().items() if key != "users"}, "users"),
    ],
)
def test_a_malformed_list_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    write(tmp_path, ["anna"])
    (tmp_path / "zzz.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=rf"zzz\.json: not a list of forgotten users: .*{reason}"):
        Forgotten.load(tmp_path)
