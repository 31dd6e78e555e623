"""Environment variables of this process, for the time of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from components.local.aws.processes import OF_AWS, OF_KFP, without


@contextmanager
def own_environment() -> Iterator[None]:
    """The environment without access to AWS and KFP, for the time of the block.

    Some variables of AWS direct clients to other services than the stand-in, or to another account.
    """
    saved = dict(os.environ)
    for name in saved.keys() - without(saved, *OF_AWS, *OF_KFP).keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
