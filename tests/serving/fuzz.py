"""``make fuzz-serving``: schemathesis, as a client in a process of its own, makes requests of the real ``ncf serve``.

It makes them from the server's own OpenAPI document, valid ones and such as break it, and checks each answer: no 5xx,
and statuses, media types, headers and schemas as described. Not checked is whether what the document says is valid is
accepted, and what is not refused: to the document any id is an item, and lines are free text.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from random_model import random_model

ROOT = Path(__file__).parents[2]
_NOT_CHECKED = "positive_data_acceptance,negative_data_rejection"
_SECONDS_TO_START = 60


def main() -> int:
    """Run it; EXAMPLES of the environment are made for each operation that takes any.

    Returns:
        0 if each answer is one that is described and the server lives on.
    """
    examples = os.environ.get("EXAMPLES") or "5000"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        random_model(n_items=2000, positives=30).save(Path(folder) / "model", {}, {})
        requests = Path(folder) / "requests"
        serve = [sys.executable, "-m", "ncf", "serve", "--model", f"{folder}/model", "--port", str(port)]
        with requests.open("w") as log:
            server = subprocess.Popen(serve, cwd=ROOT, stdout=log)
        try:
            _wait(port)
            status = _schemathesis(port, examples, folder)
            _wait(port)
        finally:
            server.terminate()
            server.wait(60)
        statuses = Counter(re.findall(r'"status": (\d+)', requests.read_text()))
        print("answers of /invocations:", ", ".join(f"{count} x {code}" for code, count in sorted(statuses.items())))
    return status or int(any(code >= "500" for code in statuses))


def _schemathesis(port: int, examples: str, folder: str) -> int:
    """Its exit status; it keeps what it finds in a folder beneath the one that it runs in."""
    return subprocess.run(
        [Path(sys.executable).absolute().parent / "schemathesis", "run", f"http://127.0.0.1:{port}/openapi.json",
         "--checks=all", f"--exclude-checks={_NOT_CHECKED}", "--phases=examples,coverage,fuzzing",
         f"--max-examples={examples}", "--seed=1", "--continue-on-failure", "--workers=2"],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.serving.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
    ).returncode  # fmt: skip


def _wait(port: int) -> None:
    """Until /ping answers.

    Raises:
        TimeoutError: if it does not.
    """
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError("the server does not answer /ping")


if __name__ == "__main__":
    sys.exit(main())
