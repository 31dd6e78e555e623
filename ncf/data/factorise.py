"""Indices of raw ids, block by block."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.ids import canonical_id, is_integer
from ncf.data.columns import Block
from ncf.data.numbers import casts, fault_of

MISSING = -1
"""Number of a missing id."""
_MAX_SHOWN = 60
_WHOLE: Mapping[int, float] = {16: 2.0**11, 32: 2.0**24, 64: 2.0**53}
"""Bits of a float -> lowest number from which whole numbers next to each other are one."""
_DOUBTS: Mapping[str, str] = {
    r'^".*"$|^\'.*\'$': "are in quotation marks, which are taken as part of the id",
    r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+$": "look like numbers shortened by a spreadsheet, so that several are one",
    r"[\p{Cc}\x{ad}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}\x{feff}]": (
        "hold invisible characters, which are taken as part of the id"
    ),
    r"(?i)^(?:undefined|unknown|nil|anonymous|guest|missing|#(?:ref|value)!|-1|-+|\?+)$": (
        "may stand for a missing one, but are taken as ids"
    ),
}
"""Pattern of a doubtful id, and what is doubtful about it."""

_PADDED = r"^(?:\+?0[0-9]+|\+[0-9]+|\+?[0-9]+\.0+)(?:\.0+)?$"
"""Pattern of whole numbers with zeros before them, zeros behind the point, or a plus sign."""


class Ids:
    """Map of raw ids to numbers, in the order of their first appearance.

    Ids are texts as :func:`ncf.artifacts.ids.canonical_id` reads them. Whole numbers from parquet become their decimal
    digits.

    Args:
        role: ``user``, ``item`` or ``event``.
        what: word for the ids in messages.
    """

    def __init__(self, role: str, what: str = "ids") -> None:
        self._role = role
        self._what = what
        self._numbers = _Numbers()

    def __len__(self) -> int:
        return len(self._numbers.ids)

    @property
    def names(self) -> Sequence[str]:
        """Id of each number."""
        return self._numbers.ids

    def encode(self, block: Block, column: str = "") -> NDArray[np.int32]:
        """Numbers of the ids in a block, int32 [rows]; ``MISSING`` without an id. New ids get the next numbers.

        Args:
            block: of rows.
            column: role of the column in the block; '' for the role of the ids.

        Raises:
            InputError: if ids are neither text nor whole numbers.
        """
        import pyarrow as pa

        array = block.columns[column or self._role]
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if not (_is_number(kind) or _is_text(kind)):
            raise block.fault(column or self._role, 0, f"{self._what} of type {kind}; expected text or whole numbers")
        array = self._whole(block, column or self._role, array.cast(kind))
        encoded = array.dictionary_encode()  # the dictionary of a file may have unused values
        values = encoded.dictionary
        texts = map(str, values.to_pylist())
        numbers = np.full(len(values) + 1, MISSING, np.int32)
        numbers[:-1] = np.fromiter(map(self._numbers.__getitem__, texts), np.int32, len(values))
        found: NDArray[np.int32] = numbers[np.asarray(encoded.indices.fill_null(len(values)))]
        return found

    def _whole(self, block: Block, role: str, array: Any) -> Any:
        """The ids of a block; of numbers, each is whole. Decimals become integers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not (pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
            return array
        floats = array.cast(pa.float64())
        if pa.types.is_floating(array.type):
            broken = pc.or_(
                pc.and_(pc.invert(pc.is_nan(floats)), pc.not_equal(pc.floor(floats), floats)),
                pc.greater_equal(pc.abs(floats), _WHOLE[array.type.bit_width]),
            )
        else:
            broken = pc.not_equal(pc.floor(array), array)
        if (index := pc.index(broken.fill_null(False), True).as_py()) >= 0:
            raise block.fault(
                role,
                index,
                f"{array[index].as_py()} of type {array.type}; expected {self._what} that are text or whole numbers, "
                f"of which the type is exact; {role}_column names another column",
            )
        return array.cast(pa.int64()) if pa.types.is_decimal(array.type) and casts(array, pa.int64()) else array

    def require(self, block: Block, column: str = "") -> NDArray[np.int32]:
        """Numbers of the ids in a block, as :meth:`encode` gives them.

        Raises:
            InputError: with the first row without an id.
        """
        numbers = self.encode(block, column)
        if (missing := numbers == MISSING).any():
            raise fault_of(block, column or self._role, int(missing.argmax()), self._role)
        return numbers

    def sorted(self) -> tuple[list[str], NDArray[np.int32]]:
        """Ids in their natural order, and the index of each number in that order, int32 [ids].

        Ids are sorted by value if all are integers, else as text. The result does not depend on the order of rows.
        """
        ids = self._numbers.ids
        key: Callable[[str], Any] = int if all(map(is_integer, ids)) else str
        order = sorted(range(len(ids)), key=lambda number: key(ids[number]))
        index = np.empty(len(ids), np.int32)
        index[order] = np.arange(len(ids), dtype=np.int32)
        return [ids[number] for number in order], index

    def doubts(self) -> list[str]:
        """What is doubtful about the ids, a line each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = []
        for what, (raw, count) in self._numbers.changed.items():
            found.append(f"{count:,} {self._role} ids are read without {what}, such as {_shown(raw)}")
        ids = pa.array(self._numbers.ids, pa.large_string())
        for pattern, doubt in _DOUBTS.items():
            doubtful = ids.filter(pc.match_substring_regex(ids, pattern=pattern))
            if len(doubtful):
                example = _shown(doubtful[0].as_py())
                found.append(f"{len(doubtful):,} {self._role} ids {doubt}, such as {example}")
        padded = ids.filter(pc.match_substring_regex(ids, pattern=_PADDED)).to_pylist()
        if alike := [text for text in padded if self._numbers.get(_unpadded(text), MISSING) >= 0]:
            found.append(
                f"{len(alike):,} {self._role} ids look like another one and differ in zeros or a sign, such as "
                f"{_shown(alike[0])} and {_shown(_unpadded(alike[0]))}"
            )
        other = ids.filter(pc.invert(pc.string_is_ascii(ids))).to_pylist()
        if same := len(other) - len({unicodedata.normalize("NFC", text) for text in other}):
            found.append(
                f"{same:,} {self._role} ids look like another one and differ in the form of Unicode (NFC, NFD)"
            )
        return found


class _Numbers(dict[str, int]):
    """Number of each text that has been seen. Texts of one id have the same number.

    Attributes:
        ids: id of each number.
        changed: what ids are read without -> the first such text, and the number of texts.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.changed: dict[str, tuple[str, int]] = {}

    def __missing__(self, text: str) -> int:
        own = canonical_id(text)
        if not own:
            number = MISSING
        elif own == text:
            number = len(self.ids)
            self.ids.append(own)
        else:
            number = self[own]
            what = "white space around them" if text.strip() == own else "'.0' behind them"
            first, count = self.changed.get(what, (text, 0))
            self.changed[what] = first, count + 1
        self[text] = number
        return number


def _unpadded(text: str) -> str:
    """Whole number of a text that :data:`_PADDED` matches."""
    return text.partition(".")[0].lstrip("+0") or "0"


def _shown(text: str) -> str:
    return repr(text[:_MAX_SHOWN])


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())
