"""What a run on this machine ends with: ``summary.json``, and the same as tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.local.process_runner import TaskRun

_CUTOFF = 10
STAGES = ("preprocess", "negative-sampling", "train", "evaluate", "deploy")
"""What the console shows, in the order of the data flow."""


def collect(tasks: Mapping[str, TaskRun], output: Path, recommendations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The run in one JSON object; the report is copied to the output folder."""
    evaluate = tasks["evaluate"].outputs
    report = output.resolve() / "report.html"
    shutil.copyfile(evaluate["report"]["uri"], report)
    deploy = tasks.get("deploy")
    return {
        "stages": [_stage(name, tasks.get(name)) for name in STAGES],
        "metrics": json.loads(Path(evaluate["metrics"]["uri"]).read_text()),
        "gate_passed": evaluate["passed"] == "true",
        "endpoint": {"name": deploy.outputs["endpoint"]} if deploy else None,
        "recommendations": [{"user": entry["user"], "items": entry["items"]} for entry in recommendations],
        "report": str(report),
    }


def _stage(name: str, task: TaskRun | None) -> dict[str, Any]:
    if task is None:
        return {"name": name, "seconds": 0.0, "status": "skipped"}
    return {"name": name, "seconds": round(task.seconds, 2), "status": "succeeded"}


def show(console: Console, result: Mapping[str, Any], tasks: Mapping[str, TaskRun]) -> None:
    """Print stages, metrics beside the baselines, recommendations, and where the report lies."""
    stages = Table(title="Stages", title_justify="left")
    for column, justify in (
        ("stage", "left"),
        ("seconds", "right"),
        ("status", "left"),
        ("what came out", "left"),
    ):
        stages.add_column(column, justify=justify)  # type: ignore[arg-type]
    for stage in result["stages"]:
        came_out = _came_out(tasks.get(stage["name"]))
        stages.add_row(stage["name"], f"{stage['seconds']:.1f}", stage["status"], came_out)
    console.print(stages)

    metrics = result["metrics"]
    table = Table(title="Test metrics", title_justify="left")
    for column in ("", f"HR@{_CUTOFF}", f"NDCG@{_CUTOFF}"):
        table.add_column(column, justify="right" if column else "left")
    for label, prefix in (
        ("model", ""),
        ("EASE", "ease_"),
        ("item-kNN", "item_knn_"),
        ("popularity", "popularity_"),
        ("champion", "champion_"),
    ):
        names = [f"{prefix}{metric}_at_{_CUTOFF}" for metric in ("hr", "ndcg")]
        if all(name in metrics for name in names):
            table.add_row(label, *(f"{metrics[name]:.4f}" for name in names))
    console.print(table)
    console.print("gate: " + ("[green]passed[/]" if result["gate_passed"] else "[red]closed: nothing was deployed[/]"))

    if result["recommendations"]:
        top = Table(title="Top 10, from the live endpoint", title_justify="left")
        for entry in result["recommendations"]:
            top.add_column(escape(str(entry["user"])), overflow="fold")
        for row in zip(*(entry["items"] for entry in result["recommendations"]), strict=False):
            top.add_row(*(escape(item.get("title") or item["item"]) for item in row))
        console.print(top)
    console.print(f"Report: {result['report']}", highlight=False, soft_wrap=True)


def _came_out(task: TaskRun | None) -> str:
    """The counts and metrics that KFP shows for the task's artifacts, in a few words."""
    if task is None:
        return ""
    words = []
    for output in task.outputs.values():
        metadata = output.get("metadata") if isinstance(output, dict) else None
        words += [
            f"{name} {value:,.4g}" if value % 1 else f"{name} {value:,.0f}" for name, value in (metadata or {}).items()
        ]
    endpoint = task.outputs.get("endpoint")
    return escape(", ".join([*([str(endpoint)] if endpoint else []), *words[:5]]))
