"""Summary of a run on this machine: ``summary.json``, and the same on the console."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.local.console import escape
from components.local.process_runner import TaskRun
from components.local.run_folder import RunFolder, ncf_command, shown
from ncf.evaluation.comparison import CUTOFF, comparison
from ncf.reports.html import with_links

FILE_NAME = "summary.json"
_PAGES = {"report.html": "Evaluation", "diff.html": "What changes for users", "data-report.html": "Data report"}
"""Reports in the folder of a run, and what links between them are called."""
_ROOT = Path(__file__).parents[2]
_ESCAPED = re.compile(r"\\([^\w\s])")
_FIGURES: Mapping[str, Mapping[str, str]] = {
    "preprocess": {"users": "users", "items": "items", "interactions": "interactions"},
    "negative-sampling": {"users": "users", "items": "items", "candidates": "candidates"},
    "train": {
        "validation_hr_at_10": "HR@10",
        "validation_ndcg_at_10": "NDCG@10",
        "best_epoch": "best epoch",
    },
    "evaluate": {
        "full_ndcg_at_10": "whole catalogue: NDCG@10",
        "full_hr_at_10": "HR@10",
        "ndcg_at_10": "among drawn items: NDCG@10",
    },
    "deploy": {"smoke_test_users": "users of the smoke test"},
    "recommend": {"users": "users", "rows": "rows", "coverage": "coverage"},
    "monitor": {"records": "captured requests", "unknown_users": "unknown users", "breaches": "breached limits"},
}
"""Metrics and counts that the console shows, and their labels there, by stage. Other stages show their first ones."""
_OTHERS = ("check", "finish")
"""Stages without a result."""
_MAX_FIGURES = 3


def collect(
    tasks: Mapping[str, TaskRun],
    folder: RunFolder,
    recommendations: Sequence[Mapping[str, Any]],
    account: str = "",
) -> dict[str, Any]:
    """The run in one JSON object. Reports are copied to the run's folder, which gets a link to the model.

    Args:
        tasks: of the run.
        folder: of the run.
        recommendations: of the live endpoint for some users; none where nothing was deployed.
        account: file with the environment of the account that outlives the run; '' for none.
    """
    evaluate, deploy = tasks["evaluate"].outputs, tasks.get("deploy")
    stages = [name for name in dict.fromkeys([*tasks, "deploy"]) if name not in _OTHERS]
    report, diff, data_report, model = (folder.path / name for name in (*_PAGES, "model"))
    pages = {
        report: evaluate["report"]["uri"],
        diff: evaluate["diff"]["uri"],
        data_report: tasks["preprocess"].outputs["report"]["uri"],
    }
    for page, source in pages.items():
        links = {label: name for name, label in _PAGES.items() if name != page.name}
        page.write_text(with_links(Path(source).read_text(), links))
    model.symlink_to(os.path.relpath(tasks["train"].outputs["trained_model"]["uri"], folder.path))
    users = [entry["user"] for entry in recommendations] or [_first_user(model)]
    result = {
        "run_id": folder.run_id,
        "folder": str(folder.path),
        "model": str(model),
        "report": str(report),
        "diff": str(diff),
        "data_report": str(data_report),
        "summary": str(folder.path / FILE_NAME),
        "next": _next_commands(model, users[0]),
        "stages": [_stage(name, tasks.get(name)) for name in stages],
        "metrics": json.loads(Path(evaluate["metrics"]["uri"]).read_text()),
        "gate_passed": evaluate["passed"] == "true",
        "gate_checks": _checks(Path(evaluate["summary"]["uri"])),
        "package": tasks["register"].outputs["package"],
        "endpoint": {"name": deploy.outputs["endpoint"]} if deploy else None,
        "recommendations": [{"user": entry["user"], "items": entry["items"]} for entry in recommendations],
        "account": account,
    }
    if _is_pending(result) and account:
        result["next"] = [*result["next"], *_approval(account, _version_of(result["package"]))]
    return result


def _is_pending(result: Mapping[str, Any]) -> bool:
    """Whether the model of a run waits for approval."""
    return bool(result["package"]) and result["gate_passed"] and not result["endpoint"]


def _approval(account: str, package: str) -> list[str]:
    """Shell commands by which a person decides on a package of an account that outlives runs."""
    program = ncf_command()
    group = package.partition("/")[0]
    return [
        f". {shlex.quote(account)}",
        f"{program} models {group}",
        f"{program} approve {package} --note 'REASON'",
    ]


def _next_commands(model: Path, user: str) -> list[str]:
    """Shell commands that use the model. They work in the current folder."""
    folder = shlex.quote(shown(model))
    make = "make"
    if Path.cwd() != _ROOT:
        make, folder = f"make -C {shlex.quote(str(_ROOT))}", shlex.quote(str(model))
    return [f"{make} recommend MODEL={folder}", f"{ncf_command()} show --model {folder} --user {shlex.quote(user)}"]


def _first_user(model: Path) -> str:
    from ncf.artifacts.model_folder import ModelFolder

    return str(ModelFolder.load(model).user_ids[0])


def _checks(summary: Path) -> list[str]:
    """Checks of the gate and warnings: the list items of evaluate's summary, as plain text."""
    items = [line for line in summary.read_text().splitlines() if line.startswith("- ")]
    return [_ESCAPED.sub(r"\1", re.sub(r"^\W+", "", item)) for item in items]


def _stage(name: str, task: TaskRun | None) -> dict[str, Any]:
    if task is None:
        return {"name": name, "seconds": 0.0, "status": "skipped"}
    return {"name": name, "seconds": round(task.seconds, 2), "status": "succeeded"}


def show(console: Console, result: Mapping[str, Any], tasks: Mapping[str, TaskRun], folder: RunFolder) -> None:
    """Print stages, model quality beside the baselines, the gate, recommendations, paths and what can follow."""
    show_stages(console, tasks, [stage["name"] for stage in result["stages"]])
    console.print(_quality(result["metrics"]))
    console.print(f"Gate: {_gate(result)}")
    for check in result["gate_checks"]:
        console.print(f"  {escape(check)}", highlight=False, soft_wrap=True)
    if result["recommendations"]:
        console.print(_top(result["recommendations"]))
    names = {"model": "model", "report": "report", "diff": "diff", "data report": "data_report", "summary": "summary"}
    show_paths(console, folder, {name: Path(result[key]) for name, key in names.items()})
    if _is_pending(result) and not result["account"]:
        package = _version_of(result["package"])
        said = f"Package {package} ends with the account of this run; that of 'make aws' outlives runs."
        console.print(escape(said), highlight=False, soft_wrap=True)
    console.print("Next:")
    for command in result["next"]:
        console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)


def _gate(result: Mapping[str, Any]) -> str:
    if not result["gate_passed"]:
        return "[red]closed: nothing was deployed[/]"
    return f"[green]passed[/]{'' if result['endpoint'] else '; by the parameter release, nothing was deployed'}"


def show_stages(console: Console, tasks: Mapping[str, TaskRun], names: Sequence[str]) -> None:
    """Print a table of stages with time, status and results."""
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("status")
    table.add_column("result")
    for stage in (_stage(name, tasks.get(name)) for name in names):
        result = _figures(stage["name"], tasks.get(stage["name"]))
        table.add_row(stage["name"], f"{stage['seconds']:.1f}", stage["status"], escape(result))
    console.print(table)


def show_paths(console: Console, folder: RunFolder, paths: Mapping[str, Path]) -> None:
    """Print the folder of the run and paths in it, by name."""
    named = {"folder": f"{shown(folder.path)}, and {shown(folder.link)} is a link to it"}
    named |= {name: shown(path) for name, path in paths.items()}
    width = max(map(len, named)) + len(":")
    for name, path in named.items():
        console.print(f"{name.capitalize() + ':':<{width}} {escape(path)}", highlight=False, soft_wrap=True)


def _quality(metrics: Mapping[str, Any]) -> Table:
    """Model, baselines and champion on the whole catalogue, and second among drawn items. The model has intervals."""
    table = Table(title="Model quality: rank of the test items", title_justify="left")
    columns, rows = comparison(metrics)
    table.add_column("")
    for metric, protocol in columns:
        table.add_column(f"{metric}\n{protocol}", justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _top(recommendations: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"Top {CUTOFF}, from the live endpoint", title_justify="left")
    for entry in recommendations:
        table.add_column(escape(str(entry["user"])), overflow="fold")
    for row in zip_longest(*(entry["items"] for entry in recommendations), fillvalue={"item": ""}):
        table.add_row(*(escape(str(item.get("title") or item["item"])) for item in row))
    return table


def _figures(stage: str, task: TaskRun | None) -> str:
    """Metrics and counts of a task, in the order of the stage's table."""
    if task is None:
        return ""
    known: dict[str, float] = {}
    for output in task.outputs.values():
        known |= (output.get("metadata") or {}) if isinstance(output, dict) else {}
    named = [f"endpoint {task.outputs['endpoint']}"] if "endpoint" in task.outputs else []
    named += [f"package {_version_of(package)}"] if (package := task.outputs.get("package")) else []
    labels = _FIGURES.get(stage) or {name: name for name in list(known)[:_MAX_FIGURES]}
    figures = {label: known[name] for name, label in labels.items() if name in known}
    return ", ".join([*named, *(f"{label} {_number(value)}" for label, value in figures.items())])


def _version_of(package: str) -> str:
    """GROUP/VERSION of the ARN of a model package."""
    return package.partition(":model-package/")[2]


def _number(value: float) -> str:
    return f"{value:.4f}" if value % 1 else f"{value:,.0f}"
