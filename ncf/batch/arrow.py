"""A model's strings as arrow's, and back, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ncf.artifacts.strings import Strings


def to_arrow(strings: Strings) -> Any:
    """The strings as an arrow array of ``large_string``."""
    offsets = pa.py_buffer(np.ascontiguousarray(strings.offsets))
    return pa.LargeStringArray.from_buffers(len(strings), offsets, pa.py_buffer(strings.data))


def from_arrow(array: Any) -> Strings:
    """The strings of an arrow array of ``large_string`` that is no slice and has no nulls."""
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int64, len(array) + 1)
    return Strings(np.frombuffer(data or b"", np.uint8, int(places[-1])), places)
