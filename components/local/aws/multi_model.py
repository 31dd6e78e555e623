"""The models of a multi-model endpoint: downloaded, loaded and unloaded as SageMaker does.

https://docs.aws.amazon.com/sagemaker/latest/dg/how-multi-mode-endpoints-work.html
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.services import Services
from ncf.storage import split_uri

MODE = "MultiModel"
VARIABLE = "SAGEMAKER_MULTI_MODEL"
TARGET_HEADER = "X-Amzn-SageMaker-Target-Model"
_LOADED, _NO_ROOM = (200, 409), 507

Answer = tuple[int, bytes, str]
"""Status, body and content type of a container's answer."""
Send = Callable[[str, str, bytes | None], Answer]
"""Sends a request, given its method, path and body, to the container."""


class RefusedLoadError(Exception):
    """The container has not loaded a model.

    Attributes:
        answer: of the container.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Models:
    """The models of a multi-model endpoint.

    A model is downloaded for its first request and stays on disk: an archive that is replaced in S3 is not read again.
    It is loaded into the container, and unloaded if another one has no room there, the least recently used first.

    Args:
        prefix: ``ModelDataUrl`` of the container.
        folder: of the models.
        visible: the same folder in the container.
        services: client of S3.
        send: sends requests to the container.
    """

    def __init__(self, prefix: str, folder: Path, visible: Path, services: Services, send: Send) -> None:
        self._prefix, self._folder, self._visible = prefix, folder, visible
        self._services, self._send = services, send
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._loaded: OrderedDict[str, None] = OrderedDict()
        """Names of the loaded models, the least recently used one first."""
        self._in_use: Counter[str] = Counter()
        folder.mkdir()

    def forget(self) -> None:
        """Note that a new container has no models."""
        with self._lock:
            self._loaded.clear()

    @contextmanager
    def loaded(self, target: str) -> Iterator[str]:
        """Name of a model, which is loaded for the duration of the block.

        Args:
            target: ``TargetModel`` of the request.

        Raises:
            ApiError: if there is no such archive, or it cannot be unpacked.
            RefusedLoadError: if the container does not load it.
        """
        name = hashlib.sha256(target.encode()).hexdigest()[:32]
        with self._lock:
            self._in_use[name] += 1
            lock = self._locks.setdefault(name, threading.Lock())
        try:
            with lock:
                if name not in self._loaded:
                    self._download(target, name)
                    self._load(name)
            with self._lock:
                self._loaded[name] = None
                self._loaded.move_to_end(name)
            yield name
        finally:
            with self._lock:
                self._in_use[name] -= 1

    def _download(self, target: str, name: str) -> None:
        model, partial = self._folder / name / "model", self._folder / name / "partial"
        if model.exists():
            return
        bucket, prefix = split_uri(self._prefix)
        key = f"{prefix}/{target}"
        if key not in self._services.keys(f"s3://{bucket}/{key}"):
            raise ApiError(
                "ValidationError",
                f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object "
                "located at the URL and that the role passed to CreateModel has permissions to download the model.",
            )
        shutil.rmtree(model.parent, ignore_errors=True)
        partial.mkdir(parents=True)
        self._services.extract_archive(f"s3://{bucket}/{key}", partial)
        partial.rename(model)

    def _load(self, name: str) -> None:
        body = json.dumps({"model_name": name, "url": str(self._visible / name / "model")}).encode()
        while (answer := self._send("POST", "/models", body))[0] not in _LOADED:
            victim = self._take_unused() if answer[0] == _NO_ROOM else ""
            if not victim:
                raise RefusedLoadError(answer)
            self._send("DELETE", f"/models/{victim}", None)

    def _take_unused(self) -> str:
        """The least recently used model, which no longer counts as loaded; '' if all are in use."""
        with self._lock:
            victim = next((name for name in self._loaded if not self._in_use[name]), "")
            self._loaded.pop(victim, None)
        return victim


def is_multi_model(container: Mapping[str, Any]) -> bool:
    return container.get("Mode") == MODE


def check_container(container: Mapping[str, Any]) -> None:
    """Check a container of CreateModel.

    Raises:
        ApiError: if a multi-model container has no prefix of archives.
    """
    if is_multi_model(container) and not container.get("ModelDataUrl"):
        raise invalid("ModelDataUrl must be provided for containers in MultiModel mode.")


def check_target(endpoint: str, is_multi: bool, target: str) -> None:
    """Check the target model of a request.

    Raises:
        ApiError: if it has one and the endpoint has a single model, or the reverse.
    """
    if target and not is_multi:
        raise ApiError(
            "ValidationError",
            f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header.",
        )
    if is_multi and not target:
        raise ApiError(
            "ValidationError", f"Endpoint {endpoint} is a multi-model endpoint: target model header missing."
        )
