"""``pipeline.py metrics``: metrics of a run as Markdown, for a comment on a pull request."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.cluster import run_file
from components.cluster.file_commands import Packages, named
from ncf.errors import InputError
from ncf.evaluation.comparison import comparison
from ncf.evaluation.gate import METRIC, reason_of_closed_gate
from ncf.reports.markdown import code, escape, table
from ncf.storage import is_s3, list_objects, local_copy

_STAGE, _OUTPUT = "evaluate", "metrics"


def add(commands: Any, packages: Packages) -> None:
    """Add the command to the parser of ``pipeline.py``."""
    text = "print the metrics of a run as Markdown"
    parser = commands.add_parser("metrics", help=text, description=text)
    parser.set_defaults(function=_metrics, packages=packages)
    parser.add_argument("source", nargs="?", default="", help="summary.json, or s3://ROOT/PIPELINE/RUN of a run")
    parser.add_argument("--file", type=Path, help="file of the run in YAML, which names its pipeline_root")
    parser.add_argument("--run-id", default="", help="ID of the run, with --file")


def _metrics(options: argparse.Namespace) -> None:
    if bool(options.source) == bool(options.file) or bool(options.file) != bool(options.run_id):
        raise InputError("source: expected a path or URI, or --file and --run-id in its place")
    source = options.source or _folder(options.file, options.run_id, options.packages)
    sys.stdout.write(f"{markdown(read(source), source)}\n")


def _folder(path: Path, run_id: str, packages: Packages) -> str:
    """The folder of a file's run."""
    with named(path):
        given = run_file.read(path, packages)
        if not given.pipeline_root:
            raise InputError("'pipeline_root' is missing, under which the metrics are")
    name = packages[given.pipeline][0].pipeline_spec.pipeline_info.name
    return f"{given.pipeline_root.rstrip('/')}/{name}/{run_id}"


def read(source: str) -> dict[str, Any]:
    """Metrics of ``evaluate``.

    Args:
        source: summary.json of a run on this machine, a file of metrics, or the folder of a run in S3.

    Raises:
        InputError: if there are none.
        RemoteError: if S3 does not answer.
    """
    if is_s3(source) and not source.endswith((".json", f"/{_OUTPUT}")):
        source = _newest(source.rstrip("/"))
    with local_copy(source) as path:
        try:
            content = json.loads(path.read_text())
            metrics: dict[str, Any] = content.get("metrics", content)
            if METRIC not in metrics:
                raise ValueError(f"there is no {METRIC}")
        except (ValueError, AttributeError, TypeError, OSError) as error:
            raise InputError(f"source: '{source}' has no metrics of {_STAGE}: {error}") from None
    return metrics


def _newest(folder: str) -> str:
    """The metrics in a run's folder, as TASK/EXECUTION/OUTPUT; with KFP 2.0.0-alpha.7 as TASK/OUTPUT."""
    stage = f"{folder}/{_STAGE}/"
    found = [uri for uri in list_objects(stage, by_age=True) if uri.removeprefix(stage).split("/")[-1] == _OUTPUT]
    if not found:
        raise InputError(f"source: there are no metrics in '{stage}': the run has not evaluated a model")
    return found[-1]


def markdown(metrics: Mapping[str, Any], source: str) -> str:
    """The gate, and NDCG and HR of the model, the live model and the baselines."""
    is_open = bool(metrics[METRIC])
    reason = "" if is_open else f": {escape(reason_of_closed_gate(metrics), limit=1000)}"
    columns, rows = comparison(metrics)
    header = ("", *(f"{metric}, {protocol}" for metric, protocol in columns))
    gate = f"**Gate: {'open' if is_open else 'closed'}**{reason}"
    return "\n\n".join((gate, table(header, rows), f"Source: {code(source)}"))
