"""Lists of forgotten users at a path or under an S3 prefix. A file is added by each call; none is changed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ncf.artifacts.forgotten import Forgotten, write
from ncf.data.user_list import is_header, numbered_users
from ncf.errors import InputError
from ncf.staged_output import staged
from ncf.storage import is_s3, list_objects, local_copy, upload


@dataclass(frozen=True)
class Added:
    """Result of :func:`add`.

    Attributes:
        users: users that were added.
        known: users of the call who were in the lists before.
        total: users in all lists.
    """

    users: int
    known: int
    total: int


def users_in(location: str) -> frozenset[str]:
    """Raw ids in a file, one a line, which may begin with a header.

    Raises:
        InputError: if it is no such file, or has no id.
    """
    with local_copy(location) as path:
        users = frozenset(_ids(path))
    if not users:
        raise InputError(f"{location}: has no user; expected one user id a line")
    return users


def _ids(path: Path) -> Iterator[str]:
    return (user for number, user in numbered_users(path) if number > 1 or not is_header(user))


def add(location: str, users: Collection[str]) -> Added:
    """Add users to the lists at a location, which need not exist. Without users, an empty list is written there.

    Two calls at a time are safe: each writes a file of its own.

    Args:
        location: path or S3 URI of the folder.
        users: raw ids.
    """
    before = _lists(location)
    new = [user for user in users if user not in before]
    if not new and before.hashes:
        return Added(0, len(users), len(before))
    with tempfile.TemporaryDirectory(prefix="ncf-") as scratch:
        for file in write(Path(scratch), new, next(iter(sorted(before.hashes)), b"")):
            if is_s3(location):
                upload(file, f"{location.rstrip('/')}/{file.name}")
                continue
            with staged(Path(location) / file.name) as temporary:
                temporary.write_bytes(file.read_bytes())
    return Added(len(new), len(users) - len(new), len(before) + len(new))


def _lists(location: str) -> Forgotten:
    """The lists at a location; without any hash if there are none.

    Raises:
        InputError: if one is malformed.
    """
    if is_s3(location):
        is_there = bool(list_objects(location))
    else:
        path = Path(location)
        if path.exists() and not path.is_dir():
            raise InputError(f"parameter 'forgotten_uri' is '{location}', a file; expected a folder")
        is_there = path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir())
    if not is_there:
        return Forgotten({})
    with local_copy(location) as folder:
        return Forgotten.load(folder)
