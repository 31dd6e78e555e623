"""Reader of an untrusted folder: nothing is unpickled, types and offsets are checked."""

from __future__ import annotations

import codecs
import json
import math
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from ncf.artifacts import manifest
from ncf.artifacts.ids import MAX_ID_LENGTH, MAX_TITLE_LENGTH
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.regular_files import exists, open_regular, parse_json, read_json, shown
from ncf.artifacts.strings import Strings
from ncf.errors import InputError

_Model = TypeVar("_Model", bound=BaseModel)
_BYTES_PER_BLOCK = 1 << 20
_MAX_HEADER_BYTES = 1 << 20
"""Header of a safetensors file: names, types, shapes and offsets of all weights."""
_MAX_SIZE = 1 << 40
"""Sizes of an array's dimensions are lower: numpy makes no larger array, even of an empty one."""
_DIMENSIONS = {1: "one dimension", 2: "two dimensions"}


@dataclass(frozen=True)
class UntrustedFiles:
    """The files of a folder that its manifest lists.

    Attributes:
        folder: of the files.
        listed: names in the manifest, whose checksums have been checked.
    """

    folder: Path
    listed: frozenset[str]

    @classmethod
    def of(cls, folder: Path, names: Iterable[str]) -> UntrustedFiles:
        """Files of a folder, by their names in a manifest of :func:`ncf.artifacts.manifest.read`."""
        return cls(folder, frozenset(names))

    def has(self, name: str) -> bool:
        return name in self.listed and exists(self.folder, name)

    def path(self, name: str) -> Path:
        manifest.require(self.folder, name)
        if name not in self.listed:
            raise InputError(f"{self.folder / name}: not in {manifest.FILE_NAME}; copy the folder again")
        return self.folder / name

    def open(self, name: str) -> IO[bytes]:
        self.path(name)
        return open_regular(self.folder, name)

    def text(self, name: str) -> str:
        self.path(name)
        try:
            return read_json(self.folder, name).decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / name}: not UTF-8: {error.reason} at byte {error.start}") from None

    def json_object(self, name: str) -> dict[str, Any]:
        try:
            content = parse_json(self.text(name).encode())
        except ValueError as error:
            raise InputError(f"{self.folder / name}: not JSON: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{self.folder / name}: expected a JSON object")
        return content

    def validated(self, name: str, model: type[_Model]) -> _Model:
        """JSON as a pydantic model.

        Raises:
            InputError: with the first field at fault.
        """
        content = self.text(name)
        try:
            validated = model.model_validate_json(content)
            parse_json(content.encode())  # refuses repeated keys
            return validated
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
        except ValueError as error:
            raise InputError(f"{self.folder / name}: content: {error}") from None
        location = ".".join(str(part) for part in first["loc"])[:200] or "content"
        reason = first["msg"].removeprefix("Value error, ")[:200]
        raise InputError(f"{self.folder / name}: {location}: {reason}")

    def array(self, name: str, dtype: type[np.generic], dimensions: int = 1) -> NDArray[Any]:
        """Array of this exact type and number of dimensions, memory-mapped."""
        with self.open(name) as stream:
            try:
                if np.lib.format.read_magic(stream) != (1, 0):
                    raise ValueError("expected format version 1.0")
                shape, by_column, found = np.lib.format.read_array_header_1_0(stream)
            except Exception as error:  # the parser of numpy raises whatever Python's tokenizer does
                raise InputError(f"{self.folder / name}: not an array file: {str(error)[:200]}") from None
            start, content = stream.tell(), _mapped(stream)
        is_shape = all(type(size) is int and 0 <= size < _MAX_SIZE for size in shape)
        if len(shape) != dimensions or found != dtype or not is_shape:
            expected = f"{np.dtype(dtype).name} with {_DIMENSIONS[dimensions]}"
            raise InputError(f"{self.folder / name}: {found} {shown(list(shape))}; expected {expected}")
        values, size = (len(content) - start) / found.itemsize, math.prod(shape)
        if values != size:
            raise InputError(f"{self.folder / name}: not an array file: has {values:g} values; its header says {size}")
        return np.frombuffer(content, dtype, size, start).reshape(shape, order="F" if by_column else "C")

    def strings(self, name: str, longest: int = MAX_TITLE_LENGTH) -> Strings:
        """Strings in UTF-8 of ``longest`` characters at most."""
        data = self.array(f"{name}.bytes.npy", np.uint8)
        offsets = self._offsets(f"{name}.offsets.npy", len(data))
        try:
            _check_utf8(data)
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / name}.bytes.npy: not UTF-8: {error.reason}") from None
        if ((data[offsets[offsets < len(data)]] & 0xC0) == 0x80).any():  # the second or a later byte of a character
            raise InputError(f"{self.folder / name}.bytes.npy: not UTF-8: a string begins within a character")
        strings = Strings(data, offsets)
        for row in np.flatnonzero(np.diff(offsets) > longest).tolist():
            if (length := len(strings[row])) > longest:
                found = f"string {row} has {length} characters"
                raise InputError(f"{self.folder / name}.bytes.npy: {found}; expected {longest} at most")
        return strings

    def ids(self, name: str) -> Strings:
        """Raw ids, each once: a request for an id has one answer."""
        ids = self.strings(name, MAX_ID_LENGTH)
        if (again := ids.repeated()) is not None:
            raise InputError(f"{self.folder / name}.bytes.npy: {shown(again)} is given more than once")
        return ids

    def items_by_user(self, name: str) -> ItemsByUser:
        items = self.array(f"{name}_items.npy", np.int32)
        return ItemsByUser(self._offsets(f"{name}_offsets.npy", len(items)), items)

    def _offsets(self, name: str, length: int) -> NDArray[np.int64]:
        offsets = self.array(name, np.int64)
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != length or (offsets[1:] < offsets[:-1]).any():
            raise InputError(f"{self.folder / name}: expected offsets that rise from 0 to {length}")
        return offsets

    def weights(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Arrays of a safetensors file, memory-mapped.

        The safetensors library checks the header: unique names, arrays that cover the file without overlap. It takes
        quadratic time for many names.
        Memory mapping avoids its copy of the arrays.

        Args:
            name: of the file.
            shapes: expected shapes, for messages. The caller compares them.
        """
        from safetensors import SafetensorError, safe_open

        path = self.path(name)
        with self.open(name) as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > _MAX_HEADER_BYTES:
                raise InputError(f"{path}: its header has {size} bytes; expected {_MAX_HEADER_BYTES} at most")
            try:
                with safe_open(f"/dev/fd/{stream.fileno()}", framework="numpy") as checked:  # the file that is open
                    names = list(checked.keys())
            except (SafetensorError, OSError) as error:
                expected = ", ".join(shapes)
                raise InputError(f"{path}: not a safetensors file with {expected}: {str(error)[:200]}") from None
            content = _mapped(stream)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        weights = {}
        for weight in names:
            kind, shape, (begin, _) = (header[weight][key] for key in ("dtype", "shape", "data_offsets"))
            if kind != "F32":
                expected = f"float32 {list(shapes[weight])}" if weight in shapes else "float32"
                raise InputError(f"{path}: weight {shown(weight)} is of type {kind}; expected {expected}")
            size = int(np.prod(shape, dtype=np.int64))
            weights[weight] = np.frombuffer(content, np.float32, size, start + begin).reshape(shape)
        return weights


def _check_utf8(data: NDArray[np.uint8]) -> None:
    """Decode all bytes, in blocks."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BYTES_PER_BLOCK):
        decoder.decode(data[start : start + _BYTES_PER_BLOCK].tobytes())
    decoder.decode(b"", final=True)


def _mapped(stream: IO[bytes]) -> mmap.mmap:
    """Memory map of a file that is not empty, shared by all processes. Arrays keep it open."""
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
