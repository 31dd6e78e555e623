"""Interpreters that start at once: forks of one process that has imported the large packages.

A run of the pipeline starts ten interpreters. Each of them would import torch, KFP or boto3, which takes most of the
time of a run with small data. The code of this project is not among the imports: each interpreter imports the copy that
is on its own path.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import multiprocessing.connection
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_PACKAGES = (
    *("boto3", "boto3.s3.transfer", "jinja2", "matplotlib.figure", "matplotlib.backends.backend_svg", "numpy"),
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "pydantic_settings", "safetensors.numpy", "scipy.sparse"),
    *("scipy.linalg", "torch._dynamo", "torch.distributed", "starlette.applications", "uvicorn", "threadpoolctl"),
    *("prometheus_client", "kfp.compiler", "kfp.local", "docker", "rich.table", "rich.progress"),
    *("moto.server", "moto.s3.responses", "moto.sagemaker.responses", "moto.cloudwatch.responses"),
    *("moto.logs.responses", "moto.sts.responses", "moto.iam.responses"),
)
_LENGTH = struct.Struct("!I")
_STREAMS = 3
_CLIENT = """#!{python} -SE
import json, os, signal, socket, struct, sys

request = {{
    "executable": os.path.abspath(sys.argv[0]),
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
}}
body = json.dumps(request).encode()
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: connection.send(bytes([number])))
socket.send_fds(connection, [struct.pack("!I", len(body))], [0, 1, 2])
connection.sendall(body)
code = int(connection.recv(16) or -signal.SIGKILL)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


_of_this_process = ExitStack()


@functools.cache
def shared_python() -> Path:
    """The ``python`` of :func:`warm_python` that all tests of this process share, until :func:`close_shared_python`."""
    folder = _of_this_process.enter_context(tempfile.TemporaryDirectory(prefix="python-"))
    return _of_this_process.enter_context(warm_python(Path(folder)))


def close_shared_python() -> None:
    """End it, if a test has started it."""
    _of_this_process.close()


@contextmanager
def warm_python(folder: Path) -> Iterator[Path]:
    """An executable ``python``, with ``python3`` and the usual ``ncf`` beside it. It takes ``-m MODULE ...`` or ``SCRIPT ...``.

    Args:
        folder: an empty folder, with a short path.
    """
    address = folder / "socket"
    command = [sys.executable, "-P", __file__, str(address)]
    # its end closes stdin, which ends the server, and waits for no interpreter that a test has left
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        client = folder / "python"
        client.write_text(_CLIENT.format(python=Path(sys.executable).resolve(), address=str(address)))
        client.chmod(0o755)
        (folder / "python3").symlink_to(client)
        (folder / "ncf").symlink_to(Path(sys.executable).with_name("ncf"))
        yield client


def _serve(address: str) -> None:
    """Fork a supervisor for each client, until stdin is closed."""
    for package in _PACKAGES:
        importlib.import_module(package)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(connection)
            return
        connection.close()


def _supervise(connection: socket.socket) -> None:
    """Fork an interpreter. It receives the signals of its client, ends with it, and tells it the exit status."""
    header, streams, _, _ = socket.recv_fds(connection, _LENGTH.size, _STREAMS)
    body = b""
    while len(body) < _LENGTH.unpack(header)[0]:
        body += connection.recv(1 << 16)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(json.loads(body), connection, streams))
    process.start()
    for stream in streams:
        os.close(stream)
    while process.is_alive():
        if connection in multiprocessing.connection.wait([connection, process.sentinel]):
            received = connection.recv(1)
            os.kill(process.pid or 0, received[0] if received else signal.SIGKILL)
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(process.exitcode).encode())
    os._exit(0)


def _run(request: dict[str, Any], connection: socket.socket, streams: list[int]) -> None:
    connection.close()
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", 1, closefd=False)
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # TMPDIR may be another
    os.chdir(request["folder"])
    sys.executable = request["executable"]
    option, *rest = request["arguments"]
    if option == "-m":
        sys.path.insert(0, request["folder"])
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(option).resolve().parent))
        sys.argv = [option, *rest]
        runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1])
