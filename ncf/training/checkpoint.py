"""Checkpoints: written atomically, verified by a checksum, loaded without unpickling code."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncf.errors import InputError
from ncf.staged_output import staged

_log = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """State of a training run.

    Attributes:
        progress: JSON-ready progress of the run.
        tensors: weights and optimiser state.
    """

    progress: dict[str, Any]
    tensors: dict[str, Tensor]


class Checkpoints:
    """Checkpoints of one training run in a folder, which keeps the last two.

    Args:
        folder: created if it does not exist.
        identity: settings and data that must be those of the checkpoint to resume from it, JSON-ready.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder, self._identity = folder, dict(identity)
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint and delete the oldest."""
        for unfinished in self._folder.glob(".checkpoint-*"):  # of a writer that was killed
            shutil.rmtree(unfinished, ignore_errors=True)
        existing = self._existing()
        number = 1 + (int(existing[-1].stem.rpartition("-")[2]) if existing else 0)
        buffer = io.BytesIO()
        meta = json.dumps({"identity": self._identity, "progress": checkpoint.progress})
        torch.save({"meta": meta, "tensors": checkpoint.tensors}, buffer)
        content = buffer.getbuffer()
        with (
            staged(self._folder / f"checkpoint-{number:06d}.pt") as temporary,
            temporary.open("wb") as stream,
        ):
            stream.write(hashlib.sha256(content).digest())
            stream.write(content)
        for path in [*existing, None][:-_KEPT]:
            if path is not None:
                path.unlink()

    def latest(self) -> Checkpoint | None:
        """The newest intact checkpoint; None if there is none.

        Raises:
            InputError: if it belongs to a run with other hyperparameters or data; the message names the differences.
        """
        for path in reversed(self._existing()):
            content = path.read_bytes()
            digest, body = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
            if hashlib.sha256(body).digest() != digest:
                _log.warning("%s is damaged: resuming from the previous one", path)
                continue
            loaded = torch.load(io.BytesIO(body), weights_only=True)
            meta = json.loads(loaded["meta"])
            self._check(path, meta["identity"])
            return Checkpoint(meta["progress"], loaded["tensors"])
        return None

    def _check(self, path: Path, found: Mapping[str, Any]) -> None:
        names = sorted(self._identity.keys() | found.keys())
        differences = [
            f"{name} is {self._identity.get(name)!r} here and {found.get(name)!r} there"
            for name in names
            if self._identity.get(name) != found.get(name)
        ]
        if differences:
            raise InputError(
                f"{path} belongs to another run: {'; '.join(differences)}. Use the same settings and data, "
                "or another folder for checkpoints"
            )

    def _existing(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.pt"))
