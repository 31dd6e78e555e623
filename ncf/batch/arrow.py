"""Conversion between the strings of a model and arrow arrays, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ncf.artifacts.strings import Strings


def to_arrow(strings: Strings) -> Any:
    """Strings as an arrow array of ``large_string``."""
    offsets = pa.py_buffer(np.ascontiguousarray(strings.offsets))
    return pa.LargeStringArray.from_buffers(len(strings), offsets, pa.py_buffer(strings.data))


def from_arrow(array: Any) -> Strings:
    """Strings of an arrow array of ``large_string``, which must be no slice and have no nulls."""
    _, buffer, data = array.buffers()
    offsets = np.frombuffer(buffer, np.int64, len(array) + 1)
    return Strings(np.frombuffer(data or b"", np.uint8, int(offsets[-1])), offsets)
