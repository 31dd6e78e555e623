"""The evaluation as a page for people, and as a few lines of Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation import metrics
from ncf.evaluation.evaluation import GATE_CUTOFF, Check, Evaluation
from ncf.models.model_folder import ModelFolder
from ncf.report import ACCENT, CONTRAST, MUTED, Chart, Report, Section, Table, Tile, plot, render, svg
from ncf.sampling.samples import Samples

LABELS = {"model": "this model", "item_knn": "item-kNN", "popularity": "popularity"}
_GROUPS = 4


def html(
    model: ModelFolder,
    samples: Samples,
    evaluation: Evaluation,
    values: Mapping[str, float],
    checks: Sequence[Check],
    passed: bool,
) -> str:
    """The report: verdict, key figures, baselines, training curve, groups, full catalogue."""
    sections = [
        _verdict(checks, passed),
        _key_figures(values),
        _baselines(evaluation, values),
        *_training(model.history),
        _groups(model, samples, evaluation),
        _full_catalogue(model, evaluation, values),
        _settings(model),
    ]
    subtitle = (
        f"{model.config.model} · version {model.version} · {model.config.n_users:,} users · "
        f"{model.config.n_items:,} items · {len(samples.test):,} test positives"
    )
    return render(Report("Evaluation", subtitle, sections))


def markdown(evaluation: Evaluation, values: Mapping[str, float], checks: Sequence[Check], passed: bool) -> str:
    """A short table and the gate."""
    lines = [
        f"## Gate: {'passed' if passed else 'closed'}",
        "",
        *(f"- {'✅' if check.passed else '❌'} {check.text}" for check in checks),
        "",
        "| | HR@10 | NDCG@10 | MRR |",
        "|---|---|---|---|",
    ]
    for name, prefix in _prefixes(evaluation):
        cells = (f"{values[f'{prefix}{metric}']:.4f}" for metric in ("hr_at_10", "ndcg_at_10", "mrr"))
        lines.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _prefixes(evaluation: Evaluation) -> list[tuple[str, str]]:
    names = [name for name in LABELS if name in evaluation.places]
    return [(name, "" if name == "model" else f"{name}_") for name in names]


def _verdict(checks: Sequence[Check], passed: bool) -> Section:
    heading = "The gate is open: this model is released" if passed else "The gate is closed: this model is not released"
    reasons = [f"{'✓' if check.passed else '✗'} {check.text}" for check in checks] or ["No condition was set."]
    return Section(heading, text=reasons, tone="good" if passed else "bad")


def _key_figures(values: Mapping[str, float]) -> Section:
    tiles = [
        Tile(label, f"{values[name]:.4f}", f"95 %: {values[f'{name}_low']:.4f} – {values[f'{name}_high']:.4f}")
        for label, name in (("HR@10", "hr_at_10"), ("NDCG@10", "ndcg_at_10"))
    ]
    gain = values["hr_at_10"] - values["popularity_hr_at_10"]
    interval = f"95 %: {values['hr_at_10_gain_low']:+.4f} – {values['hr_at_10_gain_high']:+.4f}"
    tiles.append(Tile("HR@10 above popularity", f"{gain:+.4f}", interval))
    tiles.append(Tile("Catalogue coverage", f"{values['coverage_at_10']:.0%}", "items in some user's first ten"))
    return Section("On test items that the model has not seen", tiles=tiles)


def _baselines(evaluation: Evaluation, values: Mapping[str, float]) -> Section:
    names = ("hr_at_1", "hr_at_5", "hr_at_10", "hr_at_20", "ndcg_at_10", "mrr")
    columns = ("", *(name.upper().replace("_AT_", "@") for name in names))
    rows = [
        (LABELS[name], *(f"{values[prefix + metric]:.4f}" for metric in names))
        for name, prefix in _prefixes(evaluation)
    ]
    cutoffs = np.arange(1, 21)
    colors = {"model": ACCENT, "item_knn": CONTRAST, "popularity": MUTED}
    charts = []
    for of, label in ((metrics.hits, "HR@K"), (metrics.ndcg, "NDCG@K")):
        with plot(5.2, 2.9) as (figure, axes):
            for name, _ in _prefixes(evaluation):
                curve = [of(evaluation.places[name], cutoff).mean() for cutoff in cutoffs.tolist()]
                axes.plot(cutoffs, curve, color=colors[name], label=LABELS[name], linewidth=2)
            axes.set(xlabel="K", title=label, ylim=(0, None))
            axes.set_xticks([1, 5, 10, 15, 20])
            axes.legend()
            charts.append(Chart(svg(figure)))
    text = [
        f"Each test item is ranked among {evaluation.candidates} items that its user has never interacted with; "
        "ties count against the model. Baselines know the same training data."
    ]
    return Section(
        "Beside the baselines",
        [*text, *filter(None, [evaluation.left_out])],
        tables=[Table(columns, rows)],
        charts=charts,
    )


def _training(history: Mapping[str, Any]) -> list[Section]:
    selection = history.get("selection") or []
    if not selection:
        return []
    epochs = [record["epoch"] for record in selection]
    best = history.get("best_epoch", epochs[-1])
    charts = []
    with plot(5.2, 2.9) as (figure, axes):
        axes.plot(
            epochs,
            [record["loss"] for record in selection],
            "o-",
            color=ACCENT,
            markersize=4,
            label="selection fit",
        )
        if final := history.get("final"):
            losses = [record["loss"] for record in final]
            axes.plot(
                [record["epoch"] for record in final],
                losses,
                "o-",
                color=MUTED,
                markersize=4,
                label="final fit",
            )
        axes.set(xlabel="epoch", title="Training loss")
        axes.legend()
        charts.append(Chart(svg(figure)))
    with plot(5.2, 2.9) as (figure, axes):
        for metric, label, color in (("hr_at_10", "HR@10", ACCENT), ("ndcg_at_10", "NDCG@10", CONTRAST)):
            axes.plot(epochs, [record[metric] for record in selection], "o-", color=color, markersize=4, label=label)
        axes.axvline(best, color=MUTED, linestyle="--", linewidth=1)
        axes.annotate(f" best: {best}", (best, 0.02), xycoords=("data", "axes fraction"), color=MUTED)
        axes.set(xlabel="epoch", title="Validation")
        axes.legend()
        charts.append(Chart(svg(figure)))
    text = (
        f"Epochs were chosen on validation items: the best is {best} of {len(epochs)}. The model that is evaluated "
        "here and hosted was then fitted once on training and validation items together."
    )
    return [Section("Training", [text], charts=charts)]


def _groups(model: ModelFolder, samples: Samples, evaluation: Evaluation) -> Section:
    users, items = samples.test[:, 0], samples.test[:, 1]
    activity = model.train.counts()[users]
    popularity = model.popularity[items]
    charts, tables = [], []
    for label, unit, values in (
        ("By the user's activity", "interactions of the user", activity),
        ("By the item's popularity", "interactions of the test item", popularity),
    ):
        names, members = _quantile_groups(values)
        rates = {
            name: [float(metrics.hits(evaluation.places[name][group], GATE_CUTOFF).mean()) for group in members]
            for name in ("model", "popularity")
        }
        with plot(5.2, 2.9) as (figure, axes):
            place = np.arange(len(names))
            axes.bar(place - 0.2, rates["model"], 0.38, color=ACCENT, label=LABELS["model"])
            axes.bar(place + 0.2, rates["popularity"], 0.38, color=MUTED, label=LABELS["popularity"])
            axes.set_xticks(place, names)
            axes.set(xlabel=unit, ylabel="HR@10", title=label, ylim=(0, 1))
            axes.legend()
            charts.append(Chart(svg(figure)))
        rows = [
            (name, f"{group.sum():,}", f"{own:.4f}", f"{base:.4f}")
            for name, group, own, base in zip(names, members, rates["model"], rates["popularity"], strict=True)
        ]
        tables.append(Table((unit, "test positives", "HR@10", "popularity's HR@10"), rows))
    return Section("Who is served well, and with what", tables=tables, charts=charts)


def _quantile_groups(values: NDArray[np.int64]) -> tuple[list[str], list[NDArray[np.bool_]]]:
    """Up to four groups of about equal size, with their ranges as names."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _GROUPS + 1)[1:-1], method="higher"))
    place = np.searchsorted(edges, values, side="left")
    names, members = [], []
    for group in np.unique(place):
        inside = place == group
        low, high = values[inside].min(), values[inside].max()
        names.append(f"{low:,}" if low == high else f"{low:,} – {high:,}")
        members.append(inside)
    return names, members


def _full_catalogue(model: ModelFolder, evaluation: Evaluation, values: Mapping[str, float]) -> Section:
    full = evaluation.catalogue
    tiles = [
        Tile("HR@10", f"{values['full_hr_at_10']:.4f}"),
        Tile("NDCG@10", f"{values['full_ndcg_at_10']:.4f}"),
        Tile("MRR", f"{values['full_mrr']:.4f}"),
        Tile(
            "Gini of recommendations",
            f"{values['gini_at_10']:.2f}",
            "0: all items alike, 1: one item takes all",
        ),
        Tile(
            "Popularity of recommendations",
            f"{values['recommended_popularity']:.1%}",
            "of users had such an item",
        ),
    ]
    with plot(5.2, 2.9) as (figure, axes):
        edges = np.unique(np.geomspace(1, model.config.n_items + 1, 24).round()).tolist()
        axes.hist(full.places, bins=edges, color=ACCENT, edgecolor="white", linewidth=0.4)
        axes.set_xscale("log")
        axes.set(xlabel="rank of the test item", ylabel="test items", title="Where test items land")
        chart = Chart(svg(figure))
    with plot(5.2, 2.9) as (figure, axes):
        shown = full.recommended > 0
        axes.scatter(model.popularity[shown], full.recommended[shown], s=7, color=ACCENT, alpha=0.5, linewidths=0)
        axes.set_xscale("symlog")
        axes.set_yscale("log")
        axes.set(
            xlabel="training interactions of the item",
            ylabel="times recommended",
            title="What is recommended",
        )
        scatter = Chart(svg(figure))
    text = f"All items that a user was not fitted on compete, for {full.users:,} users."
    return Section("On the full catalogue", [text], tiles=tiles, charts=[chart, scatter])


def _settings(model: ModelFolder) -> Section:
    hyperparameters = model.history.get("hyperparameters") or {}
    rows = [(name, str(value)) for name, value in hyperparameters.items()]
    return Section("Settings of the training", tables=[Table(("hyperparameter", "value"), rows)] if rows else [])
