"""Reader of an untrusted folder: nothing is unpickled, types and offsets are checked."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from ncf.artifacts import manifest
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.errors import InputError

_Model = TypeVar("_Model", bound=BaseModel)


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
        """Files of a folder.

        Raises:
            InputError: if a name lies outside the folder.
        """
        listed = frozenset(names)
        for name in listed:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise InputError(f"{folder / manifest.FILE_NAME}: lists '{name}', which lies outside the folder")
        return cls(folder, listed)

    def has(self, name: str) -> bool:
        return name in self.listed and (self.folder / name).is_file()

    def path(self, name: str) -> Path:
        manifest.require(self.folder, name)
        if name not in self.listed:
            raise InputError(f"{self.folder / name}: not in {manifest.FILE_NAME}; copy the folder again")
        return self.folder / name

    def text(self, name: str) -> str:
        try:
            return self.path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / name}: not UTF-8: {error}") from None

    def json_object(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.folder / name}: not JSON: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{self.folder / name}: expected a JSON object")
        return content

    def validated(self, name: str, model: type[_Model]) -> _Model:
        """JSON as a pydantic model.

        Raises:
            InputError: with the first field at fault.
        """
        try:
            return model.model_validate_json(self.text(name))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
        location = ".".join(str(part) for part in first["loc"]) or "content"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{self.folder / name}: {location}: {reason}")

    def array(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        """One-dimensional array of this exact type, memory-mapped."""
        path = self.path(name)
        try:
            with path.open("rb") as stream:
                if np.lib.format.read_magic(stream) != (1, 0):
                    raise ValueError("expected format version 1.0")
                shape, _, found = np.lib.format.read_array_header_1_0(stream)
                start = stream.tell()
        except Exception as error:  # the parser of numpy raises whatever Python's tokenizer does
            raise InputError(f"{path}: not an array file: {error}") from None
        if len(shape) != 1 or found != dtype:
            expected = f"{np.dtype(dtype).name} with one dimension"
            raise InputError(f"{path}: {found} {list(shape)}; expected {expected}")
        values = (path.stat().st_size - start) / found.itemsize
        if values != shape[0]:
            raise InputError(f"{path}: not an array file: has {values:g} values; its header says {shape[0]}")
        return np.frombuffer(_mapped(path), dtype, shape[0], start)

    def strings(self, name: str) -> Strings:
        data = self.array(f"{name}.bytes.npy", np.uint8)
        strings = Strings(data, self._offsets(f"{name}.offsets.npy", len(data)))
        try:
            for _ in strings:
                pass
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / name}.bytes.npy: not UTF-8: {error}") from None
        return strings

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

        The safetensors library checks the header: its size, unique names, arrays that cover the file without overlap.
        Memory mapping avoids its copy of the arrays.

        Args:
            name: of the file.
            shapes: expected shapes, for messages. The caller compares them.
        """
        from safetensors import SafetensorError, safe_open

        path = self.path(name)
        try:
            with safe_open(path, framework="numpy") as checked:
                names = list(checked.keys())
        except (SafetensorError, OSError) as error:
            expected = ", ".join(shapes)
            raise InputError(f"{path}: not a safetensors file with {expected}: {error}") from None
        content = _mapped(path)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        weights = {}
        for weight in names:
            kind, shape, (begin, _) = (header[weight][key] for key in ("dtype", "shape", "data_offsets"))
            if kind != "F32":
                expected = f"float32 {list(shapes[weight])}" if weight in shapes else "float32"
                raise InputError(f"{path}: weight '{weight}' is of type {kind}; expected {expected}")
            size = int(np.prod(shape, dtype=np.int64))
            weights[weight] = np.frombuffer(content, np.float32, size, start + begin).reshape(shape)
        return weights


def _mapped(path: Path) -> mmap.mmap:
    """Memory map of a file that is not empty, shared by all processes. Arrays keep it open."""
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
