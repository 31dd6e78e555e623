"""The program that SageMaker starts, as a process on a free port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from five_forms import Ask, check_forms
from random_model import random_model
from safetensors.numpy import load_file, save_file
from warm_python import shared_python

from ncf.api.limits import MAX_BODY_BYTES
from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder

PROGRAM = Path(__file__).parents[2] / "images" / "deploy" / "serve"
JSON = {"Content-Type": "application/json"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start(root: Path, port: int | str) -> subprocess.Popen[str]:
    environment = {**os.environ, "NCF_ML_ROOT": str(root), "NCF_PORT": str(port)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(shared_python()), str(PROGRAM)], env=environment, **pipes)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, JSON)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def asker(port: int) -> Ask:
    def post(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("POST", "/invocations", body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return post


def wait_until_ready(port: int) -> None:
    for _ in range(400):
        try:
            if ask(port, "GET", "/ping")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the server does not answer /ping")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random_model(n_items=2000, positives=30).save(tmp_path / "model", {}, {})
    return tmp_path


@pytest.fixture
def server(root: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = start(root, port)
    try:
        wait_until_ready(port)
        yield process, port
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_stops_it_and_is_no_error(server):
    process, _ = server
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.splitlines()[-1].endswith("stopped by Ctrl-C")
    assert "error" not in err


def test_it_serves_survives_bad_requests_and_logs(root, server):
    process, port = server
    status, content = ask(port, "POST", "/invocations", json.dumps({"users": ["u1"], "k": 2}).encode())
    assert status == 200
    assert content["model_version"] == ModelFolder.load(root / "model").version
    assert ask(port, "POST", "/invocations", b"{")[0] == 400
    assert ask(port, "POST", "/invocations", b" " * (MAX_BODY_BYTES + 1))[0] == 413
    assert ask(port, "GET", "/ping")[0] == 200
    status, content = ask(port, "GET", "/")
    assert status == 404, "there is no page unless it is asked for"
    assert content["error"].endswith("'ncf serve --page true' serves a page here")
    assert "page" not in ask(port, "GET", "/nowhere")[1]["error"]
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert [json.loads(line)["status"] for line in out.splitlines()] == [200, 400, 413]
    assert "2 golden requests answered right" in err
    assert "Traceback" not in err


def test_it_answers_every_form(root, server):
    check_forms(asker(server[1]), ModelFolder.load(root / "model"))


def test_it_serves_an_archive_and_refuses_one_that_was_tampered_with(root):
    packed, port = root / "m.tar", free_port()
    with tarfile.open(packed, "w") as tar:
        tar.add(root / "model", ".")
    program = [sys.executable, "-m", "ncf", "serve", "--model", str(packed), "--port", str(port)]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        wait_until_ready(port)
        assert ask(port, "POST", "/invocations", b'{"users": ["u1"], "k": 2}')[0] == 200
    finally:
        process.kill()
        process.communicate()
    with tarfile.open(packed, "w:gz") as tar:
        link = tarfile.TarInfo("config.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refused = subprocess.run(program, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2
    assert "m.tar: 'config.json' is a symbolic link" in refused.stderr


def test_sigterm_lets_requests_in_flight_finish(server):
    process, port = server
    body = json.dumps({"users": ["u1"] * 100, "k": 1000}).encode()
    clients = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(4)]
    for client in clients:
        client.request("POST", "/invocations", body, JSON)
    assert ask(port, "GET", "/ping")[0] == 200  # came in later than they did
    answered, _, _ = select.select([client.sock for client in clients], [], [], 0)
    assert len(answered) < 4
    begin = time.monotonic()
    process.terminate()
    answers = [client.getresponse() for client in clients]
    assert [answer.status for answer in answers] == [200] * 4
    assert all(len(json.loads(answer.read())["recommendations"]) == 100 for answer in answers)
    process.communicate(timeout=30)
    assert time.monotonic() - begin < 30


def test_a_model_that_cannot_be_loaded_ends_it_with_2_and_the_reason(root):
    (root / "model" / "weights.safetensors").write_bytes(b"")
    process = start(root, free_port())
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "weights.safetensors: has 0 bytes" in err
    assert "Traceback" not in err


def test_a_model_that_scores_otherwise_than_the_trained_one_never_takes_traffic(root):
    folder = root / "model"
    weights = load_file(folder / "weights.safetensors")
    save_file(weights | {"output.bias": weights["output.bias"] + 1}, folder / "weights.safetensors")
    counts = json.loads((folder / manifest.FILE_NAME).read_text())["counts"]
    (folder / manifest.FILE_NAME).unlink()
    manifest.write(folder, "model", counts, {}, {})  # by someone who knows how manifests are made
    port = free_port()
    process = start(root, port)
    pings = set()
    while process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            pings.add(ask(port, "GET", "/ping")[0])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert pings <= {503}
    assert re.search(r"golden\.json: user 'u0', item 'i\d+': score \S+ expected, \S+ found", err)
    assert "Traceback" not in err


@pytest.mark.parametrize(("port", "shown"), [("eighty", "'eighty'"), ("70000", "70000")])
def test_a_port_that_is_none_is_refused(root, port, shown):
    process = start(root, port)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"parameter 'port' is {shown}" in err


def test_a_port_in_use_is_refused(root):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(root, port)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"port {port}: Address already in use" in err


def test_nothing_heavy_is_imported():
    code = "import sys, ncf.serving.serve, ncf.serving.app; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "starlette" in result.stdout.split()
    assert not {"fastapi", "torch", "pandas", "pyarrow", "boto3", "matplotlib", "tqdm"} & set(result.stdout.split())
