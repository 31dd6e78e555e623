"""Arrays as ``.npy`` files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray


class _Writes:
    """A stream that numpy does not take for a file.

    numpy writes to a file through a buffer of its own, and ignores the error if the last bytes do not fit on the disk.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.write = stream.write


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array whole.

    Raises:
        OSError: with its number, for example if the disk is full.
    """
    with path.open("wb") as stream:
        np.lib.format.write_array(cast("IO[bytes]", _Writes(stream)), array, allow_pickle=False)
