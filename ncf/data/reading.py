"""Reading interactions: files, columns, ids, ratings and times."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.forgotten import Forgotten
from ncf.data.columns import Block, Column
from ncf.data.event_hints import event_column_hint
from ncf.data.events import NO_WEIGHTS, Events
from ncf.data.factorise import Ids
from ncf.data.forgetting import ForgottenRows
from ncf.data.numbers import Unreadable, ratings
from ncf.data.tables import is_table, read_blocks, stem_and_suffix
from ncf.data.times import Times
from ncf.errors import InputError
from ncf.progress import progress
from ncf.storage import sha256

USER_NAMES = ("userid", "user", "uid", "customerid", "customer", "visitorid", "reviewerid", "accountid")
ITEM_NAMES = (
    "itemid", "item", "iid", "movieid", "movie", "productid", "product", "asin", "articleid", "article",
    "trackid", "artistid", "bookid", "isbn", "videoid", "gameid",
)  # fmt: skip
RATING_NAMES = ("rating", "score", "stars", "overall")
TIMESTAMP_NAMES = (
    "timestamp", "time", "ts", "datetime", "date", "unixreviewtime", "createdat", "eventtime", "eventtimestamp",
    "timestampms", "timestampseconds", "unixtime", "unixtimestamp", "epoch", "eventdate", "eventdatetime",
    "createdtime", "createtime", "creationtime", "ratedat", "watchedat", "viewedat", "playedat", "purchasedat",
    "orderedat", "addedat", "updatedat", "occurredat", "reviewdate", "orderdate", "purchasedate", "transactiondate",
    "invoicedate",
)  # fmt: skip
_TIME_HINT = r"time|date|stamp|epoch|^dt$|^at$"

INTERACTION_FILES = ("ratings", "interactions", "events")
TITLE_FILES, _TITLE_SUFFIX = ("items", "movies"), ".item"
OTHER_FILES = ("users", "readme", "license", "licence")
_SHOWN = 5  # names in the log
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interactions:
    """Interactions, with users and items as indices in the natural order of their ids.

    Attributes:
        user, item: int32 [n].
        rating: float32 [n], or None without a column of ratings.
        time: int64 [n], microseconds since 1970 UTC, or None without a column of times.
        user_ids, item_ids: raw id of each index.
        files: names of the files.
        unreadable: number of rows that were dropped for an unreadable rating or time.
        forgotten: number of rows of forgotten users, which were left out.
        event: int16 [n], index of each event's type in ``event_types``; None without a column of event types, and once
            the events are weighed.
        event_types: the types of events.
        weight: float32 [n], > 0: sum of the weights of the events; None if they have none.
        hint: remark on a column that looks like the type of an event and is not read; '' for none.
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
    forgotten: int = 0
    event: NDArray[np.int16] | None = None
    event_types: Sequence[str] = ()
    weight: NDArray[np.float32] | None = None
    hint: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)


def columns(user: str = "", item: str = "", rating: str = "", timestamp: str = "") -> tuple[Column, ...]:
    """Columns of interactions.

    Arguments are names or numbers of columns, '' to recognise a column, or, for the optional ones, 'none' to leave it
    out.
    """
    return (
        Column("user", USER_NAMES, 1, user),
        Column("item", ITEM_NAMES, 2, item),
        Column("rating", RATING_NAMES, 3, rating, required=False, kinds=("number",)),
        Column("timestamp", TIMESTAMP_NAMES, 4, timestamp, required=False, kinds=("time", "number"), hint=_TIME_HINT),
    )


def read_interactions(
    path: Path,
    wanted: Sequence[Column],
    separator: str = "auto",
    max_unreadable: float = 0.0,
    event_weights: Mapping[str, float] = NO_WEIGHTS,
    forgotten: Forgotten | None = None,
) -> Interactions:
    """Read interactions from a file, or from those files of a folder that :func:`interaction_files` chooses.

    Args:
        path: of the file or folder.
        wanted: columns, from :func:`columns` and :func:`ncf.data.events.event_columns`.
        separator: of text; see :func:`ncf.data.tables.read_blocks`.
        max_unreadable: largest accepted share of rows without an id, or with an unreadable rating or time, 0 to 1. They
            are dropped.
        event_weights: weight of each type, if there is a column of event types.
        forgotten: users whose rows are left out, as if they were not in the files.

    Raises:
        InputError: with file, row, column and value at fault.
    """
    files = interaction_files(path)
    names = [file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files]
    if path.is_dir():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        _log.info("reading folder %s, files: %d: %s%s", path.name, len(names), ", ".join(names[:_SHOWN]), more)
    users, items, times, events = Ids("user"), Ids("item"), Times(), Events(event_weights)
    readers: Mapping[str, Callable[[Block], NDArray[Any]]] = {
        "user": users.encode, "item": items.encode, "rating": ratings, "timestamp": times.read, "event": events.read,
    }  # fmt: skip
    parts: dict[str, list[NDArray[Any]]] = {role: [] for role in readers}
    hint = ""
    present: set[str] | None = None
    column_names: Mapping[str, str] = {}
    unreadable, rows = Unreadable(max_unreadable), 0
    refused = ForgottenRows(forgotten) if forgotten else None
    for file in files:
        with progress(f"reading {file.name}", unit="rows") as bar:
            for whole in read_blocks(file, wanted, separator):
                block = refused.without(whole) if refused else whole
                if whole.rows and not block.rows:
                    continue
                if present is not None and set(block.columns) != present:
                    raise InputError(
                        f"{file}: has the columns {', '.join(block.columns)}, but the files before it have "
                        f"{', '.join(sorted(present))}; expected the same columns in all files of a folder"
                    )
                if block.names != column_names:
                    _log.info("columns of %s: %s", file.name, ", ".join(f"{n} ({r})" for r, n in block.names.items()))
                if present is None and "event" not in {column.role for column in wanted}:
                    hint = event_column_hint(block.unused())
                present, column_names = set(block.columns), block.names
                values = {role: read(block) for role, read in readers.items() if role in present}
                kept = unreadable.kept(block, values)
                for role, array in values.items():
                    parts[role].append(array if kept is None else array[kept])
                rows += block.rows
                bar.update(block.rows)
    if not present:
        raise InputError(f"{path}: no rows of interactions: it is empty or has only a header")
    unreadable.check(rows)
    if unreadable.rows == rows:
        raise InputError(f"{path}: none of the {rows:,} rows can be read")
    event_types, event = events.result(parts.pop("event"), path) if parts["event"] else ((), None)
    user_ids, user_index = users.sorted()
    item_ids, item_index = items.sorted()
    read = Interactions(
        user=np.concatenate([user_index[part] for part in parts.pop("user")]),  # one by one, to free memory
        item=np.concatenate([item_index[part] for part in parts.pop("item")]),
        rating=np.concatenate(parts.pop("rating")) if parts["rating"] else None,
        time=times.microseconds(parts.pop("timestamp"), path) if parts["timestamp"] else None,
        user_ids=user_ids,
        item_ids=item_ids,
        unreadable=unreadable.rows,
        forgotten=refused.rows if refused else 0,
        event=event,
        event_types=event_types,
        hint=hint,
        columns=dict(column_names),
        files=names,
    )
    for ids in (users, items):
        for doubt in ids.doubts():
            _log.warning("%s", doubt)
    _log.info(
        "read %s interactions of %s users and %s items",
        *(f"{n:,}" for n in (len(read), len(user_ids), len(item_ids))),
    )
    return read


def interaction_files(path: Path) -> list[Path]:
    """The file ``path``, or those files of the folder ``path`` that :func:`interaction_names` chooses.

    A folder is searched with all folders below it.

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
    """Tables of interactions in a folder, sorted by name.

    These are the tables whose names begin with 'ratings', 'interactions' or 'events'. If there are none, these are all
    tables except items, movies, ``*.item``, users, README and LICENSE. Hidden files and names that begin with '_' are
    left out.

    Args:
        names: of all files in the folder, relative to it.

    Raises:
        InputError: if there are none. The message does not name the folder.
    """
    shown = visible(names)
    tables = [name for name in shown if is_table(Path(name))]
    named = [name for name in tables if _stem(name).startswith(INTERACTION_FILES)]
    others = [name for name in tables if not _is_of_titles(name) and _stem(name) not in OTHER_FILES]
    if not (named or others):
        holds = f"holds {', '.join(shown[:10])}" if shown else "is empty"
        raise InputError(f"the folder {holds}; expected tables of interactions, such as ratings.csv")
    return named or others


def title_file(path: Path) -> Path | None:
    """Table of titles in a folder of interactions: ``items.*``, ``movies.*`` or ``*.item``; None without one."""
    name = title_name(_names(path)) if path.is_dir() else ""
    return path / name if name else None


def title_name(names: Sequence[str]) -> str:
    """Name of the table of titles among the names in a folder; '' without one."""
    return next((name for name in visible(names) if is_table(Path(name)) and _is_of_titles(name)), "")


def _is_of_titles(name: str) -> bool:
    """Whether a file is named as a table of titles. MovieLens 100K names it ``u.item``."""
    stem, suffix = stem_and_suffix(Path(name))
    return stem.lower() in TITLE_FILES or suffix == _TITLE_SUFFIX


def visible(names: Iterable[str]) -> list[str]:
    """Sorted names, without hidden files, names that begin with '_', all in such folders, and markers of Hadoop."""
    return sorted(
        name
        for name in names
        if not any(part.startswith((".", "_")) or part.endswith("_$folder$") for part in Path(name).parts)
    )


def _names(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _stem(name: str) -> str:
    return stem_and_suffix(Path(name))[0].lower()


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name: relative to ``root`` for files in it."""
    return {file.relative_to(root).as_posix() if root in file.parents else file.name: sha256(file) for file in files}


def fingerprint(files: Mapping[str, str]) -> str:
    """SHA-256 of the names and bytes of files, from their :func:`digests`."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in files.items()).encode()).hexdigest()


def without_constant_time(interactions: Interactions) -> Interactions:
    """Interactions without times if all times are equal, as they give no order."""
    time = interactions.time
    return interactions if time is None or time.min() != time.max() else replace(interactions, time=None)
