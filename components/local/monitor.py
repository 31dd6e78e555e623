"""The pipeline that monitors an endpoint, run on the account of ``pipeline.py aws``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from components.local import account, summary
from components.local.account_run import run_on_account
from ncf.stages.monitor import Monitor
from ncf.storage import is_s3

_RESULTS = {"report": "report.html", "summary": "summary.md", "figures": "figures.json", "metrics": "metrics.json"}
_LOCATIONS = ("interactions_uri", "model_uri", "capture_uri", "reference_uri", "markers_uri")


@dataclass(frozen=True)
class MonitorRequest:
    """Options of a run: see ``pipeline.py monitor --help``.

    Attributes:
        endpoint: its name.
        interactions: later interactions, path or URI; '' for none.
        output: path of the link.
        arguments: of the pipeline, apart from these.
        account: folder of ``pipeline.py aws``.
    """

    endpoint: str
    interactions: str
    output: Path
    arguments: Mapping[str, Any]
    account: Path = account.FOLDER


def run(pipeline: Any, request: MonitorRequest, console: Console) -> dict[str, Any]:
    """Compile and run the pipeline in a folder of its own; the output path becomes a link to it at the end.

    Args:
        pipeline: a ``dsl.pipeline``.
        request: options. Without ``since`` the window ends with the present hour.
        console: for progress and results.

    Returns:
        The figures.

    Raises:
        InputError: if no account is up, or the endpoint or a parameter is at fault.
        RuntimeError: if the stage failed for another reason.
    """
    folder, tasks = run_on_account(
        pipeline, lambda _: _arguments(request), request.output, request.account, "endpoint", console
    )
    outputs = tasks["monitor"].outputs
    paths = {name: folder.path / file for name, file in _RESULTS.items()}
    for name, path in paths.items():
        shutil.copy(outputs[name]["uri"], path)
    folder.publish()
    summary.show_stages(console, tasks, ["monitor"])
    figures: dict[str, Any] = json.loads(paths["figures"].read_text())
    for breach in figures["breaches"]:
        console.print(f"Breached: {breach['text']}", markup=False, highlight=False, soft_wrap=True)
    summary.show_paths(console, folder, {name: paths[name] for name in ("report", "summary", "figures")})
    return figures


def _arguments(request: MonitorRequest) -> dict[str, Any]:
    """Arguments of the pipeline: paths are absolute, and the window ends with the present hour."""
    given = {"interactions_uri": request.interactions, **request.arguments}
    paths = {
        name: str(Path(given[name]).resolve()) for name in _LOCATIONS if given.get(name) and not is_s3(given[name])
    }
    hours = int(given.get("hours", Monitor.model_fields["hours"].default))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    since = (now - timedelta(hours=hours - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"since": since, "endpoint_name": request.endpoint, **given, **paths}
