"""Indices of raw ids, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import Block

_MAX_DIGITS = 1000  # Python parses integers of some thousand digits at most


class Ids:
    """Map of raw ids to numbers, in the order of their first appearance.

    Ids are strings without surrounding white space. Integers from parquet become their decimal digits.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._index)

    def encode(self, block: Block, role: str) -> NDArray[np.int32]:
        """Numbers of the ids in a block, int32 [rows]. New ids get the next numbers.

        Raises:
            InputError: with the first row whose id is empty, or if ids are neither text nor integers.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        array = block.columns[role]
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if not (pa.types.is_integer(kind) or _is_text(kind)):
            raise block.fault(role, 0, f"ids of type {kind}; expected text or integers")
        encoded = array.cast(kind).dictionary_encode()  # the dictionary of a file may have unused values
        values = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string())).to_pylist()
        codes = encoded.indices
        empty = [code for code, value in enumerate(values) if not value]
        if codes.null_count or empty:
            missing = np.asarray(pc.is_null(codes)) | np.isin(np.asarray(codes.fill_null(-1)), empty)
            if missing.any():
                raise block.fault(role, int(missing.argmax()), "empty; an id is needed")
        index = self._index
        numbered = (index.setdefault(value, len(index)) for value in values)
        numbers: NDArray[np.int32] = np.fromiter(numbered, np.int32, len(values))[np.asarray(codes)]
        return numbers

    def sorted(self) -> tuple[list[str], NDArray[np.int32]]:
        """Ids in their natural order, and the index of each number in that order, int32 [ids].

        Ids are sorted by value if all are integers, else as text. The result does not depend on the order of rows.
        """
        ids = list(self._index)
        key: Callable[[str], Any] = int if all(map(_is_canonical_integer, ids)) else str
        order = sorted(range(len(ids)), key=lambda number: key(ids[number]))
        index = np.empty(len(ids), np.int32)
        index[order] = np.arange(len(ids), dtype=np.int32)
        return [ids[number] for number in order], index


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def _is_canonical_integer(text: str) -> bool:
    """Whether text is an integer as Python prints it, so that '7' and '07' stay two ids."""
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS
    return plain and (digits == "0" or digits[0] != "0") and text != "-0"
