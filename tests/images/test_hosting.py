"""`docker run ncf-deploy serve` under SageMaker's contract."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from five_forms import Ask, check_forms
from random_model import random_model

from components.local.aws.engine import Container, Engine, bind
from ncf.artifacts import manifest
from ncf.artifacts.model_folder import KIND, WEIGHTS, ModelFolder

PORT = 8080


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "ml" / "model"
    random_model("neumf", n_users=60, n_items=40).save(folder, {}, {"fingerprint": "test"})
    for path in (folder.parent, folder):
        path.chmod(0o755)
    return folder


@pytest.fixture
def serve(engine: Engine, image: Any, model: Path) -> Iterator[Callable[..., tuple[Container, list[str]]]]:
    network = engine.open_network("hosting", internal=True)  # as network isolation is

    def start(**options: Any) -> tuple[Container, list[str]]:
        lines: list[str] = []
        volumes = bind(str(model.parent), "/opt/ml")
        return engine.start(
            image("deploy"), ["serve"], lines.append, network=network, volumes=volumes, **options
        ), lines

    return start


def ask(container: Container, path: str, body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://{container.address}:{PORT}{path}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def asker(container: Container) -> Ask:
    def post(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://{container.address}:{PORT}/invocations", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return post


def healthy(container: Container, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while container.running and time.monotonic() < deadline:
        try:
            if ask(container, "/ping")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("options", [{}, {"user": "4321:4321", "read_only": True, "cap_drop": ["ALL"]}])
def test_serves_as_root_and_confined(serve: Any, options: dict[str, Any]) -> None:
    container, lines = serve(**options)
    assert healthy(container), lines
    status, answer = ask(container, "/invocations", json.dumps({"users": ["u1"], "k": 3}).encode())
    assert status == 200
    assert len(answer["recommendations"][0]["items"]) == 3
    assert any("golden requests" in line for line in lines)


def test_answers_every_form_as_the_process_does(serve: Any, model: Path) -> None:
    container, lines = serve()
    assert healthy(container), lines
    check_forms(asker(container), ModelFolder.load(model))


def test_a_model_that_answers_wrong_never_takes_traffic(serve: Any, model: Path) -> None:
    """Weights were changed, and the manifest with them: only the golden requests can tell."""
    content = json.loads((model / manifest.FILE_NAME).read_text())
    weights = (model / WEIGHTS).read_bytes()
    changed = np.frombuffer(weights, np.uint8).copy()
    header = 8 + int.from_bytes(weights[:8], "little")
    values = changed[header:].view(np.float32)
    values[:] = values[::-1].copy()
    (model / WEIGHTS).write_bytes(changed.tobytes())
    (model / manifest.FILE_NAME).unlink()
    manifest.write(model, KIND, content["counts"], content["parameters"], content["source"])
    container, lines = serve()
    assert not healthy(container)
    assert container.wait(10) == 2
    assert any("golden.json: user" in line and "expected" in line for line in lines)


def test_a_request_in_flight_is_answered_before_the_end(serve: Any) -> None:
    container, lines = serve()
    assert healthy(container), lines
    body = json.dumps({"users": ["u1"], "k": 3}).encode()
    connection = http.client.HTTPConnection(container.address, PORT, timeout=30)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:5])
    time.sleep(0.5)
    begin = time.monotonic()
    container.signal("SIGTERM")
    time.sleep(1)
    assert container.running, "it waits for the request"
    connection.send(body[5:])
    answer = connection.getresponse()
    assert answer.status == 200
    assert len(json.load(answer)["recommendations"][0]["items"]) == 3
    assert container.wait(30) in (0, 143)
    assert time.monotonic() - begin < 30


def test_an_idle_server_leaves_at_once(serve: Any) -> None:
    container, lines = serve()
    assert healthy(container), lines
    begin = time.monotonic()
    container.signal("SIGTERM")
    assert container.wait(30) in (0, 143)
    assert time.monotonic() - begin < 5
