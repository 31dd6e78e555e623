"""Lists of users, however they come."""

from __future__ import annotations

import gzip
import json
import logging
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ncf.api.requests import RequestError, parse
from ncf.artifacts.ids import MAX_ID_LENGTH
from ncf.artifacts.strings import Strings
from ncf.batch.users import UNKNOWN, Users
from ncf.errors import InputError

KNOWN = Strings.of(["u0", "u1", "über", "user-9"])


def read(path: Path, content: bytes, known: Strings = KNOWN) -> Users:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return Users.read(path, known)


@pytest.mark.parametrize("name", ["users.txt", "users.csv", "users.gz"])
def test_users_come_in_their_order_once(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        users = read(tmp_path / name, "\ufeffuser_id\r\nu1\r\n\r\n über \nnobody\nu1\nu0".encode())
    assert list(users.ids) == ["u1", "über", "nobody", "u0"]
    assert users.indices.tolist() == [1, 2, UNKNOWN, 0]
    assert (users.unknown, users.repeated) == (1, 1)
    assert "1 of 4 users are not in the model and get popular items: 'nobody'" in caplog.text
    assert "1 lines repeat a user" in caplog.text


def test_a_list_of_users_of_other_data_is_refused_with_ids_of_both(tmp_path: Path) -> None:
    message = (
        r"users: none of the 4 users is in the model: '1', '2', '3', \.\.\.; ids in the model: 'u0', 'u1', 'über', "
    )
    with pytest.raises(InputError, match=message):
        read(tmp_path / "users", b"1\n2\n3\n4\n1")
    assert read(tmp_path / "users", b"1\n2\n3\nu1").unknown == 3


def test_a_user_may_be_called_user(tmp_path: Path) -> None:
    assert list(read(tmp_path / "users", b"user\nu0", Strings.of([*KNOWN, "user"])).ids) == ["user", "u0"]
    assert list(read(tmp_path / "users", b"u0\nuser").ids) == ["u0", "user"], "only the first line can be a header"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no user; expected one user id a line"),
        (b"\n \n\t\n", "has no user"),
        (b"user\n", "has no user"),
        (b"u0\nu1\n\xff\xfe\n", "line 3 is not UTF-8"),
        (b"u0\n" + b"x" * 513, "line 2 has more than 512 characters"),
        (b"u0\n" + b"x" * 10_000_000, "line 2 has more than 512 characters"),
    ],
)
def test_what_is_no_list_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read(tmp_path / "users.txt", content)
    assert str(tmp_path / "users.txt") in str(refused.value)


@pytest.mark.parametrize("character", ["x", "ü", "语", "🎬"])
def test_ids_are_as_long_as_the_endpoint_takes_them(character: str, tmp_path: Path) -> None:
    longest = character * MAX_ID_LENGTH
    assert list(read(tmp_path / "users.txt", f"\ufeff{longest}\r\nu0".encode()).ids) == [longest, "u0"]
    parse(json.dumps({"users": [longest]}).encode())
    with pytest.raises(InputError, match=f"line 2 has more than {MAX_ID_LENGTH} characters"):
        read(tmp_path / "users.txt", f"u0\n{longest}{character}".encode())
    with pytest.raises(RequestError, match=f"1 to {MAX_ID_LENGTH} characters"):
        parse(json.dumps({"users": [longest + character]}).encode())


def test_a_line_is_never_taken_for_two(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1 has more than 512 characters"):
        read(tmp_path / "users.txt", b" " * 5000 + b"u0\nu1")


def test_neither_the_model_s_users_nor_the_list_s_become_objects(tmp_path: Path) -> None:
    known = Strings.of(f"user-{number:07d}" for number in range(120_000))
    content = "".join(f"user-{number:07d}\n" for number in range(119_999, 39_999, -1)) + "x\n"
    (tmp_path / "users.txt").write_text(content * 2)
    tracemalloc.start()
    users = Users.read(tmp_path / "users.txt", known)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert users.indices.tolist() == [*range(119_999, 39_999, -1), UNKNOWN]
    assert users.repeated == 80_001
    assert peak < 6e6


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Users.read(tmp_path / "none", KNOWN)
    with pytest.raises(InputError, match="a folder"):
        Users.read(tmp_path, KNOWN)
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress(b"u0\n" * 1000)[:-20])
    with pytest.raises(InputError, match="cannot be unpacked"):
        Users.read(torn, KNOWN)
    torn.write_bytes(b"u0\n")
    with pytest.raises(InputError, match="cannot be unpacked"):
        Users.read(torn, KNOWN)


def test_a_compressed_list_is_known_by_its_content(tmp_path: Path) -> None:
    assert list(read(tmp_path / "users.txt", gzip.compress(b"u0\nu1\n")).ids) == ["u0", "u1"]


def test_carriage_returns_end_no_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"users\.txt: line 1 has a carriage return within, 'u0\\ru1'; expected one user"
    ):
        read(tmp_path / "users.txt", b"u0\ru1\r")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_a_list_or_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    message = ""
    try:
        users = read(tmp_path / "any.txt", content)
        assert len(set(users.ids)) == len(users.ids) == len(users.indices) > 0
    except InputError as error:
        message = str(error)
    assert not message or "any.txt" in message


def test_digests_tell_users_and_their_order_apart(tmp_path: Path) -> None:
    lists = [b"u0\nu1", b"u1\nu0", b"u0", b"u0\nx", b"u0\ny", b"u0\nx\ny", b"u0\ny\nx"]
    digests = [read(tmp_path / "users", content).digest() for content in lists]
    assert len(set(digests)) == len(lists)
    assert read(tmp_path / "users", b"user\nu0\n\nu1\nu1").digest() == digests[0]
    assert Users.of_model(Strings.of(KNOWN[:2])).digest() == digests[0]
