"""The models in memory of a multi-model endpoint: loaded and unloaded on request, within a limit on memory."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from ncf.api import limits
from ncf.cores import available_cores
from ncf.errors import InputError
from ncf.memory import memory_limit, resident_memory, return_freed_memory
from ncf.serving.loading import load
from ncf.serving.recommender import Recommender

_log = logging.getLogger(__name__)

MAX_NAME_LENGTH = 256
PAGE_SIZE = 100
"""Models in one page of the list."""
_SHARE_OF_LIMIT = 0.8
"""Share of the memory for the process. The rest is for the requests, and for temporary arrays of a load."""
_MEMORY_OF_FILES = 3
"""Upper bound of a loaded model's memory over the bytes of its files, of which it takes 1.6 to 2 times."""
_FILES_OF_MODEL = 32
"""Upper bound of the files that a loaded model keeps open."""
_NO_ROOM = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class ModelError(Exception):
    """A refused operation on a model.

    Args:
        status: HTTP status of SageMaker's contract.
        message: the model, and what is accepted.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class StoredModel:
    """A model in memory.

    Attributes:
        name: opaque name, given by SageMaker.
        url: folder of the model.
        recommender: that answers.
    """

    name: str
    url: str
    recommender: Recommender


class ModelStore:
    """The models in memory. All state belongs to the event loop; models are loaded and freed in threads.

    Args:
        root: folder that the models' folders lie under.
        memory: bytes of physical memory that the process may use for a further model to be loaded; 0: 80 % of the
            container's, or of the machine's.
    """

    def __init__(self, root: Path, memory: int = 0) -> None:
        self._root = root.resolve()
        self._memory = memory or int(memory_limit() * _SHARE_OF_LIMIT)
        self._models: dict[str, StoredModel] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._reserved = 0
        self._limiter = CapacityLimiter(available_cores())
        self._open_files = _raised_file_limit()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, name: str) -> StoredModel:
        """The model of a name.

        Raises:
            ModelError: 404 if it is not loaded.
        """
        if (found := self._models.get(name)) is None:
            raise ModelError(404, f"model {name[:60]!r} is not loaded")
        return found

    def page(self, after: str = "", size: int = PAGE_SIZE) -> tuple[Sequence[StoredModel], str]:
        """Loaded models in the order of their names.

        Args:
            after: last name of the page before; '' for the first page.
            size: models at most.

        Returns:
            The models, and the ``after`` of the next page; '' if there is none.
        """
        names = sorted(self._models)
        first = bisect_right(names, after)
        found = list(islice(names, first, first + size))
        return [self._models[name] for name in found], found[-1] if first + size < len(names) else ""

    async def load(self, name: str, url: str) -> None:
        """Load a model. Of several calls for one model at once, one loads it.

        Raises:
            ModelError: 409 if it is loaded, 507 if memory or open files do not suffice, 400 if the name, the folder or
                the model is invalid.
        """
        if not name or "/" in name or len(name) > MAX_NAME_LENGTH:
            raise ModelError(
                400, f"model_name is {name[:60]!r}; expected 1 to {MAX_NAME_LENGTH} characters, and no '/' among them"
            )
        if name not in self._models:
            if not (is_loading := name in self._loads):
                self._loads[name] = asyncio.create_task(self._load(name, url))
                self._loads[name].add_done_callback(lambda _: self._loads.pop(name))
            await asyncio.shield(self._loads[name])
            if not is_loading:
                return
        raise ModelError(409, f"model {name[:60]!r} is loaded already")

    async def _load(self, name: str, url: str) -> None:
        folder = Path(url).resolve()
        if self._root not in folder.parents or not folder.is_dir():
            raise ModelError(400, f"url is {url[:200]!r}; expected a folder under {self._root}")
        start = time.monotonic()
        needed = _MEMORY_OF_FILES * await to_thread.run_sync(_bytes_of, folder)
        self._check_room(name, needed)
        self._reserved += needed
        try:
            recommender = await to_thread.run_sync(_load, str(folder), limiter=self._limiter)
        except InputError as error:
            raise ModelError(400, f"model {name[:60]!r}: {error}") from None
        except (MemoryError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_ROOM:
                raise
            raise ModelError(507, f"model {name[:60]!r} does not fit: {error}") from None
        finally:
            self._reserved -= needed
        self._models[name] = StoredModel(name, url, recommender)
        seconds = time.monotonic() - start
        _log.info("model %s loaded after %.1f s; %d are loaded", recommender.version, seconds, len(self))

    def _check_room(self, name: str, needed: int) -> None:
        used = resident_memory() + self._reserved
        if used + needed > self._memory:
            raise ModelError(
                507,
                f"model {name[:60]!r} needs up to {needed} bytes of memory: {used} of {self._memory} are in use, for "
                f"{len(self)} models; unload some",
            )
        files = (len(self) + len(self._loads)) * _FILES_OF_MODEL + limits.MAX_CONNECTIONS
        if files > self._open_files:
            raise ModelError(
                507, f"{len(self)} models are loaded, and the process may open {self._open_files} files; unload some"
            )

    async def unload(self, name: str) -> None:
        """Unload a model. Requests in flight are answered; the model's memory is free after the last of them.

        Raises:
            ModelError: 404 if it is not loaded.
        """
        model = self.get(name)
        freed = [self._models.pop(name)]
        version = model.recommender.version
        del model
        await to_thread.run_sync(_free, freed)
        _log.info("model %s unloaded; %d are loaded", version, len(self))


def _load(location: str) -> Recommender:
    try:
        recommender = load(location)
        recommender.prepare()  # so that its memory is taken before the next model is loaded
        return recommender
    finally:
        return_freed_memory()


def _free(models: list[StoredModel]) -> None:
    models.clear()
    return_freed_memory()


def _bytes_of(folder: Path) -> int:
    """Bytes of all files in a folder. Links are not followed."""
    total = 0
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            total += _bytes_of(Path(entry.path))
        else:
            total += entry.stat(follow_symlinks=False).st_size
    return total


def _raised_file_limit() -> int:
    """Raise the limit on open files as far as possible.

    Returns:
        The limit.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
