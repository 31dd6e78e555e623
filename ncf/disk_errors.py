"""Errors of a disk in the various forms that libraries give them."""

from __future__ import annotations

import errno
import os
import re

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written|problem writing element \d+ to file")
"""Message of numpy's error for an array that the disk has no space for; the error has no number."""
_NUMBER = re.compile(r"\(os error (\d+)\)$")
"""End of the message of an error of the safetensors library, which is written in Rust."""


def as_os_error(error: BaseException) -> OSError | None:
    """An error of the operating system with its number; None for any other error."""
    if isinstance(error, OSError):
        is_short = error.errno is None and _SHORT_WRITE.fullmatch(str(error))
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if is_short else error
    if type(error).__name__ == "SafetensorError" and (found := _NUMBER.search(str(error))):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return None
