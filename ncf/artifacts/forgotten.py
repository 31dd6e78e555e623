"""Lists of forgotten users: salted hashes of raw ids, which ``ncf forget`` writes and preprocess refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncf.artifacts.regular_files import parse_json, read_json, shown
from ncf.errors import InputError

KIND = "forgotten"
_SALT_BYTES = 32
_MAX_USERS = 200_000
"""Users in a file, which keep it within the bound of JSON files."""
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _List(BaseModel):
    """Content of a file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    kind: Literal["forgotten"]
    schema_version: Literal[1]
    salt: _Hex
    users: list[_Hex] = Field(max_length=_MAX_USERS)


@dataclass(frozen=True)
class Forgotten:
    """Users whose interactions are refused.

    Attributes:
        hashes: HMAC-SHA256 of each user's raw id in UTF-8, by the salt that is its key. Lists that are written at the
            same time may have salts of their own.
    """

    hashes: Mapping[bytes, frozenset[bytes]]

    def __len__(self) -> int:
        return sum(map(len, self.hashes.values()))

    def __contains__(self, user: str) -> bool:
        text = user.encode()
        return any(_hashed(salt, text) in found for salt, found in self.hashes.items())

    def fingerprint(self) -> str:
        """SHA-256 of salts and hashes, in whatever files they are."""
        lines = sorted(f"{salt.hex()} {found.hex()}\n" for salt, of_salt in self.hashes.items() for found in of_salt)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Forgotten:
        """Read a list, or all lists in a folder. Hidden files are left out.

        Raises:
            InputError: if there is none, or one is malformed: a run must not take back what was forgotten.
        """
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        else:
            files = [path] if path.is_file() else []
        if not files:
            raise InputError(f"{path}: no list of forgotten users; 'ncf forget' writes one, and an empty one too")
        hashes: dict[bytes, set[bytes]] = {}
        for file in files:
            found = _read(file)
            hashes.setdefault(bytes.fromhex(found.salt), set()).update(map(bytes.fromhex, found.users))
        return cls({salt: frozenset(of_salt) for salt, of_salt in hashes.items()})


def write(folder: Path, users: Iterable[str], salt: bytes = b"") -> list[Path]:
    """Write lists of users, or one empty list. The name of a file is made of its content.

    Args:
        folder: existing, for the files.
        users: raw ids.
        salt: of a list that exists; b'': a new one.
    """
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    return [_write(folder, salt, hashes) for hashes in _parts(sorted({_hashed(salt, user.encode()) for user in users}))]


def _parts(hashes: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, max(1, len(hashes)), _MAX_USERS):
        yield hashes[start : start + _MAX_USERS]


def _write(folder: Path, salt: bytes, hashes: list[bytes]) -> Path:
    content = {"kind": KIND, "schema_version": 1, "salt": salt.hex(), "users": [found.hex() for found in hashes]}
    text = json.dumps(content, indent=0) + "\n"
    path = folder / _name_of(text.encode())
    path.write_text(text)
    return path


def _name_of(content: bytes) -> str:
    return f"{KIND}-{hashlib.sha256(content).hexdigest()[:16]}.json"


def _hashed(salt: bytes, user: bytes) -> bytes:
    return hmac.digest(salt, user, "sha256")


def _read(path: Path) -> _List:
    content = read_json(path.parent, path.name)
    try:
        found = _List.model_validate(parse_json(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "content"
        raise InputError(
            f"{path}: not a list of forgotten users: {field} is {shown(first['input'], 80)}: {first['msg']}"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: not a list of forgotten users: not JSON: {error}") from None
    if path.name != _name_of(content):
        raise InputError(
            f"{path}: was changed after it was written, or has another name: a list with this content is named "
            f"{_name_of(content)}; restore the file, as users in it may be missing"
        )
    return found
