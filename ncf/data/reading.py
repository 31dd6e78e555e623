"""Reading interactions: files, columns, ids, ratings and times."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import Column
from ncf.data.factorise import Ids
from ncf.data.numbers import Unreadable, ratings, times, to_microseconds
from ncf.data.tables import is_table, read_blocks, stem_and_suffix
from ncf.errors import InputError
from ncf.progress import progress
from ncf.storage import sha256

USER_NAMES = ("userid", "user", "uid", "customerid", "customer", "visitorid", "reviewerid", "accountid")
ITEM_NAMES = (
    "itemid", "item", "iid", "movieid", "movie", "productid", "product", "asin", "articleid", "article",
    "trackid", "artistid", "bookid", "isbn", "videoid", "gameid",
)  # fmt: skip
RATING_NAMES = ("rating", "score", "stars", "overall")
TIMESTAMP_NAMES = ("timestamp", "time", "ts", "datetime", "date", "unixreviewtime", "createdat")

INTERACTION_FILES = ("ratings", "interactions", "events")
TITLE_FILES = ("items", "movies")
OTHER_FILES = ("users", "readme", "license", "licence")


@dataclass(frozen=True)
class Interactions:
    """Interactions as they were read, users and items as indices in the natural order of their ids.

    Attributes:
        user, item: int32 [n].
        rating: float32 [n], or None if there is no such column.
        time: int64 [n], microseconds since 1970 UTC, or None if there is no such column.
        user_ids, item_ids: raw id of each index.
        files: names of the files read.
        unreadable: rows that were dropped because a rating or time could not be read.
        columns: role -> name or number of its column in the last file.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    rating: NDArray[np.float32] | None
    time: NDArray[np.int64] | None
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    files: Sequence[str]
    unreadable: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)


def columns(user: str = "", item: str = "", rating: str = "", timestamp: str = "") -> tuple[Column, ...]:
    """The columns of interactions; an argument names one that is not to be recognised by its name."""
    return (
        Column("user", USER_NAMES, 1, user),
        Column("item", ITEM_NAMES, 2, item),
        Column("rating", RATING_NAMES, 3, rating, required=False),
        Column("timestamp", TIMESTAMP_NAMES, 4, timestamp, required=False),
    )


def read_interactions(
    path: Path, wanted: Sequence[Column], separator: str = "auto", max_unreadable: float = 0.0
) -> Interactions:
    """Read a file, or those of a folder that hold interactions (:func:`interaction_files`).

    Rows whose rating or time cannot be read are dropped, if they are at most ``max_unreadable`` of all.

    Raises:
        InputError: that names file, row and column of what cannot be understood.
    """
    files = interaction_files(path)
    users, items = Ids(), Ids()
    parts: dict[str, list[NDArray[Any]]] = {"user": [], "item": [], "rating": [], "timestamp": []}
    present: set[str] | None = None
    names: Mapping[str, str] = {}
    unreadable, rows = Unreadable(max_unreadable), 0
    for file in files:
        with progress(f"reading {file.name}", unit="rows") as bar:
            for block in read_blocks(file, wanted, separator):
                if present is not None and set(block.columns) != present:
                    raise InputError(
                        f"{file}: has columns for {', '.join(block.columns)}, but the files before it "
                        f"for {', '.join(sorted(present))}; all files of a folder must have the same"
                    )
                present, names = set(block.columns), block.names
                values: dict[str, NDArray[Any]] = {
                    role: read(block) for role, read in (("rating", ratings), ("timestamp", times)) if role in present
                }
                kept = unreadable.kept(block, values)
                values |= {"user": users.encode(block, "user"), "item": items.encode(block, "item")}
                for role, array in values.items():
                    parts[role].append(array if kept is None else array[kept])
                rows += block.rows
                bar.update(block.rows)
    if not present:
        raise InputError(f"{path}: no rows of interactions: empty, or a header alone")
    unreadable.check(rows)
    user_ids, user_place = users.sorted()
    item_ids, item_place = items.sorted()
    read = Interactions(
        user=np.concatenate([user_place[part] for part in parts.pop("user")]),  # by and by, to free memory
        item=np.concatenate([item_place[part] for part in parts.pop("item")]),
        rating=np.concatenate(parts.pop("rating")) if parts["rating"] else None,
        time=to_microseconds(parts.pop("timestamp"), path) if parts["timestamp"] else None,
        user_ids=user_ids,
        item_ids=item_ids,
        unreadable=unreadable.rows,
        columns=dict(names),
        files=[file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files],
    )
    logging.getLogger(__name__).info(
        "read %s interactions of %s users and %s items",
        *(f"{n:,}" for n in (len(read), len(user_ids), len(item_ids))),
    )
    return read


def interaction_files(path: Path) -> list[Path]:
    """The file ``path``, or those of a folder that :func:`interaction_names` chooses.

    Raises:
        InputError: if there are none.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    try:
        return [path / name for name in interaction_names(_names(path))]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def interaction_names(names: Sequence[str]) -> list[str]:
    """Of the names in a folder, relative to it, those of interactions, sorted.

    These are the tables whose names begin with 'ratings', 'interactions' or 'events'; if there are none, all tables but
    those called items, movies, users, README or LICENSE. Hidden files, and those that begin with '_', are left out.

    Raises:
        InputError: if there are none; the message does not say where.
    """
    shown = visible(names)
    tables = [name for name in shown if is_table(Path(name))]
    named = [name for name in tables if _stem(name).startswith(INTERACTION_FILES)]
    others = [name for name in tables if _stem(name) not in TITLE_FILES + OTHER_FILES]
    if not (named or others):
        holds = f"holds {', '.join(shown[:10])}" if shown else "is empty"
        raise InputError(f"the folder {holds}; expected tables of interactions, such as ratings.csv")
    return named or others


def title_file(path: Path) -> Path | None:
    """The file of titles that a folder of interactions brings along: ``items.*`` or ``movies.*``."""
    name = title_name(_names(path)) if path.is_dir() else ""
    return path / name if name else None


def title_name(names: Sequence[str]) -> str:
    """Of the names in a folder, that of the titles; '' if there is none."""
    return next((name for name in visible(names) if is_table(Path(name)) and _stem(name) in TITLE_FILES), "")


def visible(names: Iterable[str]) -> list[str]:
    """Names without those of hidden files and folders, and of what begins with '_', sorted."""
    return sorted(name for name in names if not any(part.startswith((".", "_")) for part in Path(name).parts))


def _names(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _stem(name: str) -> str:
    return stem_and_suffix(Path(name))[0].lower()


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names (relative to ``root`` where they lie in it) and bytes of files."""
    lines = (
        f"{file.relative_to(root).as_posix() if root in file.parents else file.name} {sha256(file)}\n" for file in files
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def without_constant_time(interactions: Interactions) -> Interactions:
    """The same without times if all are equal: they tell no order then."""
    time = interactions.time
    return interactions if time is None or time.min() != time.max() else replace(interactions, time=None)
