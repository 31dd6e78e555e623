"""The evaluation as a page for people, and as a few lines of Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation import metrics
from ncf.evaluation.evaluation import Evaluation
from ncf.evaluation.gate import Check
from ncf.evaluation.intervals import Estimate
from ncf.evaluation.summary import FULL_CUTOFFS, GroupSummary, Summary, prefix_of
from ncf.reports import evaluation_plots
from ncf.reports.better_baselines import better_baselines
from ncf.reports.evaluation_plots import LABELS, in_order
from ncf.reports.html import Chart, Report, Section, Table, Tile, render
from ncf.reports.training_plots import training

_COMPARED = {
    "hr_at_10": "HR@10",
    "ndcg_at_10": "NDCG@10",
    "full_hr_at_10": "HR@10, full catalogue",
    "full_ndcg_at_10": "NDCG@10, full catalogue",
}

_FULL = {"hr": "HR", "ndcg": "NDCG", "recall": "Recall", "mrr": "MRR"}


def html(
    model: ModelFolder, evaluation: Evaluation, summary: Summary, checks: Sequence[Check], max_loss_to_champion: float
) -> str:
    """The report: verdict, key figures, baselines, champion, full catalogue, popularity, groups, training."""
    sections = [
        _verdict(checks, better_baselines(summary)),
        _key_figures(summary),
        _candidates(evaluation, summary),
        _full_catalogue(model, evaluation, summary),
        _champion(evaluation, summary, max_loss_to_champion),
        _popularity(model, evaluation, summary),
        _groups(summary),
        *training(model.history),
        *_settings(model),
    ]
    subtitle = (
        f"{model.config.model} · version {model.version} · {model.config.n_users:,} users · "
        f"{model.config.n_items:,} items · {len(evaluation.test):,} test positives"
    )
    return render(Report("Evaluation", subtitle, sections))


def markdown(evaluation: Evaluation, summary: Summary, checks: Sequence[Check]) -> str:
    """The gate, a short table, and how the model stands to its champion."""
    lines = [
        f"## Gate: {'passed' if all(check.passed for check in checks) else 'closed'}",
        "",
        *(f"- {'✅' if check.passed else '❌'} {check.text}" for check in checks),
        *(f"- ⚠️ {sentence}" for sentence in better_baselines(summary)),
        "",
        "| | HR@10 | NDCG@10 | MRR | NDCG@10, full catalogue |",
        "|---|---|---|---|---|",
    ]
    for name in in_order(evaluation.ranks):
        names = ("hr_at_10", "ndcg_at_10", "mrr", "full_ndcg_at_10")
        cells = (f"{summary.values[prefix_of(name) + metric]:.4f}" for metric in names)
        lines.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    if summary.champion is not None:
        shown = [summary.champion.champion.get(metric) for metric in ("hr_at_10", "ndcg_at_10", "full_ndcg_at_10")]
        hr, ndcg, full = (f"{found.mean:.4f}" if found else "" for found in shown)
        lines.append(f"| champion | {hr} | {ndcg} | | {full} |")
    return "\n".join([*lines, *(["", evaluation.no_comparison] if evaluation.no_comparison else [])]) + "\n"


def _verdict(checks: Sequence[Check], warnings: Sequence[str]) -> Section:
    passed = all(check.passed for check in checks)
    heading = "The gate is open: this model is released" if passed else "The gate is closed: this model is not released"
    reasons = [f"{'✓' if check.passed else '✗'} {check.text}" for check in checks] or ["No condition was set."]
    return Section(
        heading, text=[*reasons, *(f"! {warning}" for warning in warnings)], tone="good" if passed else "bad"
    )


def _interval(found: Estimate, sign: str = "") -> str:
    return f"95 %: {found.low:{sign}.4f} – {found.high:{sign}.4f}"


def _key_figures(summary: Summary) -> Section:
    own, gain = summary.of_rankers["model"], summary.gains["popularity"]["hr_at_10"]
    tiles = [
        Tile(label, f"{own[name].mean:.4f}", _interval(own[name]))
        for name, label in _COMPARED.items()
        if name != "full_hr_at_10"
    ]
    tiles.append(Tile("HR@10 above popularity", f"{gain.mean:+.4f}", _interval(gain, "+")))
    coverage = summary.values["coverage_at_10"]
    tiles.append(Tile("Catalogue coverage", f"{coverage:.0%}", "items in some user's first ten"))
    return Section("On test items that the model has not seen", tiles=tiles)


def _dots(summary: Summary, labels: Mapping[str, str]) -> list[Chart]:
    """A chart for each metric, the champion's own figures among them."""
    rankers = dict(summary.of_rankers)
    if summary.champion is not None:
        rankers["champion"] = summary.champion.champion
    return [
        evaluation_plots.metric_dots(label, {name: found[metric] for name, found in rankers.items() if metric in found})
        for metric, label in labels.items()
    ]


def _candidates(evaluation: Evaluation, summary: Summary) -> Section:
    names = ("hr_at_1", "hr_at_5", "hr_at_10", "hr_at_20", "ndcg_at_10", "mrr")
    columns = ("", *(name.upper().replace("_AT_", "@") for name in names))
    rows = [
        (LABELS[name], *(f"{summary.values[prefix_of(name) + metric]:.4f}" for metric in names))
        for name in in_order(evaluation.ranks)
    ]
    text = [
        f"Each test item is ranked among {evaluation.candidates} items that its user has never interacted with; "
        "ties count against whoever ranks. Baselines know the same training data. Whiskers are 95 % intervals, by "
        "resampling users.",
        *evaluation.left_out,
    ]
    if evaluation.comparison is not None:
        count = evaluation.comparison.comparable.rows.sum()
        text.append(f"The champion's figures are of the {count:,} test items that it can be asked for.")
    charts = _dots(summary, {"hr_at_10": "HR@10", "ndcg_at_10": "NDCG@10"})
    for metric, of in metrics.SAMPLED.items():
        label = f"{metric.upper()}@K"
        values = {name: evaluation_plots.curve(of, places) for name, places in evaluation.ranks.items()}
        charts.append(evaluation_plots.curves(f"{label} by the length of the list", label, values))
    for metric, label in (("hr_at_10", "HR@10"), ("ndcg_at_10", "NDCG@10")):
        sampled, full = (
            {name: found[prefix + metric] for name, found in summary.gains.items()} for prefix in ("", "full_")
        )
        charts.append(evaluation_plots.gain_dots(f"What the model gains in {label}", sampled, full))
    return Section("Beside the baselines", text, tables=[Table(columns, rows)], charts=charts)


def _full_catalogue(model: ModelFolder, evaluation: Evaluation, summary: Summary) -> Section:
    names = in_order(evaluation.catalogues)
    rows = [
        (f"{label}@{cutoff}", *(f"{summary.full[name][f'{metric}_at_{cutoff}']:.4f}" for name in names))
        for metric, label in _FULL.items()
        for cutoff in FULL_CUTOFFS
    ]
    columns = ("", *(LABELS[name] for name in names))
    places = {name: catalogue.ranked.ranks for name, catalogue in evaluation.catalogues.items()}
    charts = [
        *_dots(summary, {f"full_{metric}_at_10": f"{label}@10" for metric, label in _FULL.items()}),
        evaluation_plots.ranks_found(places, model.config.n_items),
        evaluation_plots.rank_histogram(places["model"], model.config.n_items),
    ]
    text = (
        f"Every item that a user was not fitted on competes, for {len(evaluation.users):,} users. A user is hit if at "
        "least one of its test items is among the first; recall is the share of its test items that are; MRR is that "
        "of the first. All are means over users."
    )
    return Section("On the full catalogue", [text], tables=[Table(columns, rows)], charts=charts)


def _champion(evaluation: Evaluation, summary: Summary, max_loss: float) -> Section:
    comparison, figures_of = evaluation.comparison, summary.champion
    heading = "Beside the champion, the model that this one would replace"
    if comparison is None or figures_of is None:
        return Section(heading, [evaluation.no_comparison])
    comparable = comparison.comparable
    text = [
        f"The champion is {comparison.name}, version {comparison.version}. Both rank the same "
        f"{comparable.rows.sum():,} test items; on the full catalogue, for {len(comparison.users):,} users. Left out: "
        f"{comparable.unknown:,} whose user or item the champion does not know, and {comparable.leaked:,} that it was "
        "fitted on. Items that it does not know it ranks last.",
        "The gate closes if the whole interval of NDCG@10 lies below the allowed loss.",
    ]
    shown = {metric: label for metric, label in _COMPARED.items() if metric in figures_of.gains}
    rows = [
        (label, f"{figures_of.model[metric].mean:.4f}", f"{figures_of.champion[metric].mean:.4f}")
        for metric, label in shown.items()
    ]
    charts = [
        evaluation_plots.champion_gains(figures_of.gains, shown, max_loss),
        evaluation_plots.metric_dots(
            "NDCG@10 on the same test items",
            {"model": figures_of.model["ndcg_at_10"], "champion": figures_of.champion["ndcg_at_10"]},
        ),
    ]
    return Section(heading, text, tables=[Table(("", "this model", "champion"), rows)], charts=charts)


def _popularity(model: ModelFolder, evaluation: Evaluation, summary: Summary) -> Section:
    values, catalogues = summary.values, evaluation.catalogues
    names = in_order(catalogues)
    rows = [
        (
            LABELS[name],
            f"{values[prefix_of(name) + 'coverage_at_10']:.1%}",
            f"{values[prefix_of(name) + 'gini_at_10']:.3f}",
            f"{values[prefix_of(name) + 'recommended_popularity']:.1%}",
        )
        for name in names
    ]
    recommended = {name: values[prefix_of(name) + "recommended_popularity"] for name in names}
    charts = [
        evaluation_plots.popularity_bias(recommended, evaluation.test_popularity),
        evaluation_plots.long_tail(model.popularity, {name: catalogues[name].recommended for name in names}),
    ]
    text = (
        "Of the first ten for each of these users. An item's popularity is the share of all users who had it in "
        f"training; what users took themselves, the test items, has {evaluation.test_popularity:.1%}. Gini is 0 where "
        "all items are recommended alike, and near 1 where a few take all."
    )
    table = Table(("", "coverage", "Gini", "popularity"), rows)
    return Section("What is recommended", [text], tables=[table], charts=charts)


def _groups(summary: Summary) -> Section:
    charts, tables = [], []
    for title, unit, found in (
        ("By the user's activity", "interactions of the user, quarters of users", summary.activity),
        ("By the item's popularity", "interactions of the test item, thirds of all", summary.popularity),
    ):
        charts.append(evaluation_plots.groups(title, unit, "hr_at_10", found))
        tables.append(_group_table(unit, found))
    return Section("Who is served well, and with what", tables=tables, charts=charts)


def _group_table(unit: str, found: Sequence[GroupSummary]) -> Table:
    names = in_order(found[0].of_rankers)
    rows = []
    for group in found:
        own = group.of_rankers["model"]
        others = (f"{group.of_rankers[name]['hr_at_10'].mean:.4f}" for name in names if name != "model")
        interval = f"{own['hr_at_10'].low:.4f} – {own['hr_at_10'].high:.4f}"
        rows.append((group.name, f"{group.positives:,}", f"{own['hr_at_10'].mean:.4f}", interval, *others))
    labels = (LABELS[name] for name in names if name != "model")
    return Table((unit, "test items", "HR@10", "95 %", *labels), rows)


def _settings(model: ModelFolder) -> list[Section]:
    hyperparameters = model.history.get("hyperparameters") or {}
    rows = [(name, str(value)) for name, value in hyperparameters.items()]
    return [Section("Settings of the training", tables=[Table(("hyperparameter", "value"), rows)])] if rows else []
