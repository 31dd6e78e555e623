"""List of strings as two arrays, which are memory-mapped and shared by processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.arrays import save_array
from ncf.errors import InputError


class Strings(Sequence[str]):
    """Immutable list of strings.

    Args:
        data: uint8 [bytes], the concatenated UTF-8 of all strings.
        offsets: int64 [n + 1], start of each string in ``data``, and the number of bytes.
    """

    def __init__(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(data):
            raise InputError(f"string offsets must run from 0 to {len(data)}, the length of the bytes")
        self.data, self.offsets = data, offsets

    @classmethod
    def of(cls, values: Iterable[str]) -> Strings:
        encoded = [value.encode() for value in values]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(value) for value in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def save(self, folder: Path, name: str) -> None:
        save_array(folder / f"{name}.bytes.npy", self.data)
        save_array(folder / f"{name}.offsets.npy", self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        data, offsets = self.data.tobytes(), self.offsets.tolist()
        return (data[start:end].decode() for start, end in zip(offsets, offsets[1:], strict=False))

    def repeated(self) -> str | None:
        """A string that occurs more than once; None if all differ."""
        hashes = np.fromiter(map(hash, self), np.int64, len(self))
        ordered = np.sort(hashes)
        alike = np.flatnonzero(np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]]))
        found: set[str] = set()
        for text in map(self.__getitem__, alike.tolist()):
            if text in found:
                return text
            found.add(text)
        return None
