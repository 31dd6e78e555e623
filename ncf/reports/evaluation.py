"""The evaluation report in HTML, and its summary in Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.provenance import Provenance
from ncf.evaluation import metrics
from ncf.evaluation.evaluation import Evaluation
from ncf.evaluation.examples import Example
from ncf.evaluation.gate import GateCondition
from ncf.evaluation.summary import FULL_CUTOFFS, Summary, prefix_of
from ncf.reports import evaluation_plots, markdown
from ncf.reports.better_baselines import better_baselines
from ncf.reports.evaluation_examples import examples_section
from ncf.reports.evaluation_plots import LABELS, in_order
from ncf.reports.evaluation_run import run_section, settings_sections
from ncf.reports.html import Report, Section, Table, Tile, render
from ncf.reports.numbers import count, decimal, interval, percent
from ncf.reports.plots import Chart
from ncf.reports.training_plots import training_sections

_COMPARED = {
    "full_ndcg_at_10": "NDCG@10, full catalogue",
    "full_hr_at_10": "HR@10, full catalogue",
    "ndcg_at_10": "NDCG@10, candidates",
    "hr_at_10": "HR@10, candidates",
}
"""Metric -> its label, in the order in which key figures and the champion's are shown."""
_FULL = {"ndcg": "NDCG", "hr": "HR", "recall": "Recall", "mrr": "MRR"}
_CANDIDATES = ("ndcg_at_10", "hr_at_1", "hr_at_5", "hr_at_10", "hr_at_20", "mrr")


@dataclass(frozen=True)
class EvaluationReport:
    """The content of the report.

    Attributes:
        model: the evaluated model.
        provenance: of the model.
        evaluation: ranks of the test items.
        summary: metrics with intervals.
        checks: of the gate.
        examples: recommendations for some users.
        settings: parameters of the evaluation.
        max_loss_to_champion: NDCG@10 that the gate allows to lose.
    """

    model: ModelFolder
    provenance: Provenance
    evaluation: Evaluation
    summary: Summary
    checks: Sequence[GateCondition]
    examples: Sequence[Example]
    settings: Table
    max_loss_to_champion: float

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def html(self) -> str:
        """The page: gate, run, key figures, recommendations, both protocols, champion, groups, training, settings."""
        sections = [
            self._gate(),
            run_section(self.model, self.provenance, len(self.evaluation.test)),
            self._key_figures(),
            examples_section(self.model, self.examples),
            self._full_catalogue(),
            self._candidates(),
            self._champion(),
            self._recommended(),
            self._groups(),
            *training_sections(self.model.history),
            *settings_sections(self.model, self.settings),
        ]
        run = f" · run {self.provenance.run}" if self.provenance.run else ""
        return render(Report("Evaluation", f"{self.model.config.model} · version {self.model.version}{run}", sections))

    def markdown(self) -> str:
        """The gate with its reasons, and a short table of model, baselines and champion."""
        failed = [check.text for check in self.checks if not check.passed]
        verdict = f"Gate passed: {self._reason()}" if self.passed else f"Gate closed: {'; '.join(failed)}"
        notes = [
            *(f"- {'✅' if check.passed else '❌'} {markdown.escape(check.text, 500)}" for check in self.checks),
            *(f"- ⚠️ {markdown.escape(sentence, 500)}" for sentence in self._warnings()),
        ]
        blocks = [f"**{markdown.escape(verdict, 1000)}**", "\n".join(notes), self._short_table()]
        if self.evaluation.no_comparison:
            blocks.append(markdown.escape(self.evaluation.no_comparison, 1000))
        return "\n\n".join(block for block in blocks if block) + "\n"

    def _warnings(self) -> list[str]:
        left_out = self.evaluation.users_left_out
        sentence = (
            f"{count(left_out)} {'user is' if left_out == 1 else 'users are'} left out of the evaluation, with fewer "
            f"than {self.evaluation.candidates} items left as negatives."
        )
        return [*better_baselines(self.summary), *([sentence] if left_out else [])]

    def _reason(self) -> str:
        if not self.checks:
            return "no condition is set"
        return f"the model meets {'the condition' if len(self.checks) == 1 else f'all {len(self.checks)} conditions'}"

    def _short_table(self) -> str:
        shown = {"full_ndcg_at_10": "NDCG@10, full catalogue", "ndcg_at_10": "NDCG@10", "hr_at_10": "HR@10"}
        values, champion = self.summary.values, self.summary.champion
        rows = [
            (LABELS[name], *(decimal(values[prefix_of(name) + metric]) for metric in shown))
            for name in in_order(self.evaluation.ranks)
        ]
        if champion is not None:
            found = [champion.champion.get(metric) for metric in shown]
            rows.append((LABELS["champion"], *(decimal(one.mean) if one else "" for one in found)))
        return markdown.table(("", *shown.values()), rows)

    def _gate(self) -> Section:
        heading = (
            "The gate is open: the model may be deployed"
            if self.passed
            else "The gate is closed: the model must not be deployed"
        )
        checks = [f"{'✓' if check.passed else '✗'} {check.text}" for check in self.checks]
        warnings = [f"! {sentence}" for sentence in self._warnings()]
        text = [*(checks or ["No condition is set."]), *warnings]
        return Section(heading, text, tone="good" if self.passed else "bad")

    def _key_figures(self) -> Section:
        own = self.summary.of_rankers["model"]
        tiles = [Tile(label, decimal(own[name].mean), interval(own[name])) for name, label in _COMPARED.items()]
        text = (
            f"Means over {count(len(self.evaluation.test))} test items, which the model was not fitted on, and for the "
            f"full catalogue over {count(len(self.evaluation.users))} users. 95 % confidence intervals (CI) by "
            "resampling users."
        )
        return Section("Key figures of this model", [text], tiles=tiles)

    def _full_catalogue(self) -> Section:
        catalogues, full = self.evaluation.catalogues, self.summary.full
        names = in_order(catalogues)
        one_each = bool((catalogues["model"].ranked.positives == 1).all())
        shown = {metric: label for metric, label in _FULL.items() if not (one_each and metric == "recall")}
        rows = [
            (f"{label}@{cutoff}", *(decimal(full[name][f"{metric}_at_{cutoff}"]) for name in names))
            for metric, label in shown.items()
            for cutoff in FULL_CUTOFFS
        ]
        users = (
            "Each user has one test item, so Recall@K equals HR@K."
            if one_each
            else "HR@K is 1 for a user with a test item among the first K. Recall@K is the share of the user's test "
            "items among the first K. MRR@K is 1 / rank of the first of them."
        )
        text = (
            "Each user's test items are ranked among all items that the model was not fitted on for this user. All "
            f"values are means over users. {users}"
        )
        charts = [
            *(self._gains(f"full_{metric}_at_10", f"{label}@10") for metric, label in shown.items() if metric != "mrr"),
            evaluation_plots.ranks_found(
                {name: catalogue.ranked.ranks for name, catalogue in catalogues.items()}, self.model.config.n_items
            ),
        ]
        table = Table(("", *(LABELS[name] for name in names)), rows)
        return Section("Full catalogue: model and baselines", [text], tables=[table], charts=charts)

    def _candidates(self) -> Section:
        evaluation, values = self.evaluation, self.summary.values
        names = in_order(evaluation.ranks)
        rows = [
            (metric.upper().replace("_AT_", "@"), *(decimal(values[prefix_of(name) + metric]) for name in names))
            for metric in _CANDIDATES
        ]
        text = [
            f"Each test item is ranked among {evaluation.candidates} items that its user has not interacted with. Of "
            "equal scores the test item has the lowest rank. Baselines are fitted on the same training data. Fewer "
            "items compete than on the full catalogue, so values of the two protocols are not comparable.",
            *evaluation.left_out,
        ]
        charts = [
            *(self._gains(metric, label) for metric, label in (("ndcg_at_10", "NDCG@10"), ("hr_at_10", "HR@10"))),
            evaluation_plots.curves("NDCG", metrics.ndcg, evaluation.ranks),
            evaluation_plots.curves("HR", metrics.hits, evaluation.ranks),
        ]
        table = Table(("", *(LABELS[name] for name in names)), rows)
        return Section("Candidates: model and baselines", text, tables=[table], charts=charts)

    def _gains(self, metric: str, label: str) -> Chart:
        return evaluation_plots.gains(
            f"{label}: this model minus each baseline",
            {name: found[metric] for name, found in self.summary.gains.items()},
        )

    def _champion(self) -> Section:
        comparison, found = self.evaluation.comparison, self.summary.champion
        heading = "Champion: the model that this one would replace"
        if comparison is None or found is None:
            return Section(heading, [self.evaluation.no_comparison])
        comparable = comparison.comparable
        text = [
            f"The champion is {comparison.name}, version {comparison.version}. Both models rank the same "
            f"{count(comparable.rows.sum())} test items; on the full catalogue for {count(len(comparison.users))} "
            f"users. Left out: {count(comparable.unknown)} test items whose user or item the champion does not know, "
            f"and {count(comparable.leaked)} that it was fitted on. Items that it does not know have its lowest rank.",
            "The gate closes if the whole interval of NDCG@10, candidates, is below the allowed loss of "
            f"{self.max_loss_to_champion:g}.",
        ]
        shown = {metric: label for metric, label in _COMPARED.items() if metric in found.gains}
        rows = [
            (label, decimal(found.model[metric].mean), decimal(found.champion[metric].mean))
            for metric, label in shown.items()
        ]
        chart = evaluation_plots.champion_gains(found.gains, shown, self.max_loss_to_champion)
        columns = ("", LABELS["model"], LABELS["champion"])
        return Section(heading, text, tables=[Table(columns, rows)], charts=[chart])

    def _recommended(self) -> Section:
        values, catalogues, test = self.summary.values, self.evaluation.catalogues, self.evaluation.test_popularity
        names = in_order(catalogues)
        rows = [
            (
                LABELS[name],
                percent(values[prefix_of(name) + "coverage_at_10"]),
                f"{values[prefix_of(name) + 'gini_at_10']:.3f}",
            )
            for name in names
        ]
        popularity = {name: values[prefix_of(name) + "recommended_popularity"] for name in names}
        charts = [
            evaluation_plots.popularity_bias(popularity, test),
            evaluation_plots.long_tail(self.model.popularity, {name: catalogues[name].recommended for name in names}),
        ]
        text = (
            f"The first ten items for each of the {count(len(self.evaluation.users))} users of the full catalogue. "
            "Popularity of an item: share of users with that item in training. Coverage: share of the catalogue that "
            "is recommended to at least one user. Gini coefficient: 0 if all items are recommended equally often, 1 if "
            "one item has all recommendations."
        )
        table = Table(("", "coverage", "Gini coefficient"), rows)
        return Section("Recommended items", [text], tables=[table], charts=charts)

    def _groups(self) -> Section:
        charts = [
            evaluation_plots.groups(f"HR@10 by the {title}", unit, "hr_at_10", found)
            for title, unit, found in (
                ("user's activity", "training interactions of the user: quarters of users", self.summary.activity),
                ("item's popularity", "training interactions of the test item: thirds of all", self.summary.popularity),
            )
        ]
        return Section("Groups of users and items", ["Candidates protocol, with 95 % intervals."], charts=charts)
