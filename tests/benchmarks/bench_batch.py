"""Memory of a batch of recommendations: the largest resident memory that is not a mapped file.

Models have random weights and 50 items: memory depends on the numbers of users. A list has known and unknown users.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODELS = {"small": 1_000, "large": 1_000_000}
LISTS = {"all users": 0, "10,000 users": 10_000, "1,000,000 users": 1_000_000}
_ANONYMOUS = re.compile(r"^RssAnon:\s*(\d+) kB", re.MULTILINE)
_SECONDS_BETWEEN_LOOKS = 0.02


def run() -> list[dict[str, Any]]:
    """A row for each model and list."""
    from tests.helpers.random_model import random_model

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, users in MODELS.items():
            random_model("gmf", n_users=users, n_items=50).save(folder / size, {}, {})
            for what, listed in LISTS.items():
                path = folder / "users.txt"
                path.write_text("".join(f"u{max(0, users - listed // 2) + user}\n" for user in range(listed)))
                given = [f"--users={path}"] if listed else []
                megabytes, seconds = _recommend(folder / size, folder / "out", given)
                rows.append({"users of the model": users, "list": what, "MB": megabytes, "seconds": seconds})
    return rows


def _recommend(model: Path, out: Path, given: list[str]) -> tuple[float, float]:
    """Peak of anonymous memory in MB, and seconds, of ``ncf recommend``."""
    outputs = [f"--{name}={out / name}" for name in ("recommendations", "metrics", "summary")]
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "ncf", "recommend", f"--model={model}", *given, *outputs], stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        found = _ANONYMOUS.search(Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if process.returncode:
        raise RuntimeError(f"ncf recommend ended with status {process.returncode}")
    return peak * 1024 / 1e6, time.monotonic() - start
