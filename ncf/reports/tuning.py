"""Report of a hyperparameter tuning job: the trials in a table, and their objectives in a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncf.reports import markdown
from ncf.reports.html import Report, Section, Table, Tile, render
from ncf.reports.plots import INK, MODEL, Chart, plot, svg

_WIDTH, _HEIGHT = 5.2, 2.9
_MAX_ROWS = 100


@dataclass(frozen=True)
class TrialResult:
    """A trial.

    Attributes:
        name: of its training job.
        status: SageMaker's.
        hyperparameters: those that are tuned, in the order of the columns.
        objective: its value; None without one.
        seconds: of its training; None if they are not known.
    """

    name: str
    status: str
    hyperparameters: dict[str, str]
    objective: float | None
    seconds: float | None = None


def best_first(trials: Sequence[TrialResult], is_maximized: bool) -> list[TrialResult]:
    """Trials by objective; those without one come last."""
    sign = -1 if is_maximized else 1
    return sorted(trials, key=lambda trial: float("inf") if trial.objective is None else sign * trial.objective)


def table(trials: Sequence[TrialResult], metric: str) -> markdown.Markdown:
    """The trials as a table in Markdown, 100 at most."""
    columns, rows = _cells(trials, metric)
    return markdown.table(columns, rows[:_MAX_ROWS])


def html(title: str, trials: Sequence[TrialResult], metric: str, is_maximized: bool) -> str:
    """The page.

    Args:
        title: of the page.
        trials: in the order in which they started.
        metric: name of the objective.
        is_maximized: whether larger is better.
    """
    ordered = best_first(trials, is_maximized)
    columns, rows = _cells(ordered, metric)
    best = ordered[0] if ordered else None
    tiles = [Tile("trials", str(len(trials)))]
    if best and best.objective is not None:
        tiles.append(Tile(f"best {metric}", f"{best.objective:g}", best.name))
    charts = [_by_trial(trials, metric, is_maximized)] if any(trial.objective is not None for trial in trials) else []
    charts += [
        _by_value(trials, name, metric)
        for name in (trials[0].hyperparameters if trials else ())
        if sum(trial.objective is not None for trial in trials) > 1
    ]
    section = Section("Trials", tiles=tiles, charts=charts, tables=[Table(columns, rows)])
    return render(Report(title, f"Objective: {metric}", [section]))


def _cells(trials: Sequence[TrialResult], metric: str) -> tuple[list[str], list[list[object]]]:
    names = list(trials[0].hyperparameters) if trials else []
    rows: list[list[object]] = [
        [
            trial.name,
            trial.status,
            "" if trial.objective is None else f"{trial.objective:g}",
            *(trial.hyperparameters.get(name, "") for name in names),
            "" if trial.seconds is None else f"{trial.seconds:g}",
        ]
        for trial in trials
    ]
    return ["trial", "status", metric, *names, "seconds"], rows


def _by_trial(trials: Sequence[TrialResult], metric: str, is_maximized: bool) -> Chart:
    found = [(at, trial.objective) for at, trial in enumerate(trials, 1) if trial.objective is not None]
    better = max if is_maximized else min
    best: list[float] = []
    for _, value in found:
        best.append(better([*best[-1:], value]))
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.plot([at for at, _ in found], [value for _, value in found], "o", color=MODEL, markersize=4)
        axes.step([at for at, _ in found], best, color=INK, linewidth=1, where="post")
        axes.set(xlabel="trial", title=metric)
        axes.xaxis.get_major_locator().set_params(integer=True)
        return Chart(svg(figure), "Each trial, and the best so far")


def _by_value(trials: Sequence[TrialResult], name: str, metric: str) -> Chart:
    found = [(trial.hyperparameters.get(name, ""), trial.objective) for trial in trials if trial.objective is not None]
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        try:
            values: Sequence[float | str] = [float(value) for value, _ in found]
        except ValueError:
            values = [value for value, _ in found]
        axes.plot(values, [objective for _, objective in found], "o", color=MODEL, markersize=4)
        axes.set(xlabel=name, title=metric)
        return Chart(svg(figure))
