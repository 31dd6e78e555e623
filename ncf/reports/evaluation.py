"""The evaluation report in HTML, and its summary in Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.provenance import Provenance
from ncf.evaluation import metrics
from ncf.evaluation.evaluation import Evaluation
from ncf.evaluation.examples import Example
from ncf.evaluation.gate import GateCondition
from ncf.evaluation.names import LABELS, in_order
from ncf.evaluation.summary import FULL_CUTOFFS, Summary, prefix_of
from ncf.reports import evaluation_plots, markdown
from ncf.reports.better_baselines import better_baselines
from ncf.reports.evaluation_examples import examples_section
from ncf.reports.evaluation_run import run_section, settings_sections
from ncf.reports.html import Noted, Report, Section, Table, Tile, render
from ncf.reports.numbers import bounds, count, decimal, interval, number, percent
from ncf.reports.plots import Chart
from ncf.reports.training_plots import training_sections

_WHOLE = {"full_ndcg_at_10": "NDCG@10", "full_hr_at_10": "HR@10", "full_recall_at_10": "Recall@10"}
"""Metric on the whole catalogue -> its label, in the order in which they are shown."""
_DRAWN = {"ndcg_at_10": "NDCG@10", "hr_at_10": "HR@10"}
"""The same of the sampled protocol, which is shown second."""
_FULL = {"ndcg": "NDCG", "hr": "HR", "recall": "Recall", "mrr": "MRR"}
_SAMPLED = ("ndcg_at_10", "hr_at_1", "hr_at_5", "hr_at_10", "hr_at_20", "mrr")


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
        """The page: gate, key figures, run, recommendations, both protocols, champion, groups, training, settings."""
        sections = [
            self._gate(),
            self._key_figures(),
            run_section(self.model, self.provenance, len(self.evaluation.test)),
            examples_section(self.model, self.examples),
            self._whole_catalogue(),
            self._drawn_items(),
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

    @property
    def _among(self) -> str:
        """The sampled protocol in words."""
        return f"among {count(self.evaluation.candidates)} drawn items"

    @property
    def _one_each(self) -> bool:
        """Whether each user has one test item, so that Recall@K equals HR@K."""
        return bool((self.evaluation.catalogues["model"].ranked.positives == 1).all())

    def _labels(self) -> dict[str, str]:
        """Metrics of both protocols with their labels, those on the whole catalogue first."""
        whole = {metric: f"{label}, whole catalogue" for metric, label in self._whole().items()}
        return whole | {metric: f"{label} {self._among}" for metric, label in _DRAWN.items()}

    def _whole(self) -> dict[str, str]:
        return {metric: label for metric, label in _WHOLE.items() if not (self._one_each and "recall" in metric)}

    def _short_table(self) -> str:
        shown, champion = self._labels(), self.summary.champion
        found = {name: self.summary.of_rankers[name] for name in in_order(self.evaluation.ranks)}
        if champion is not None:
            found["champion"] = champion.champion
        rows = [
            (LABELS[name], *(decimal(of[metric].mean) if metric in of else "" for metric in shown))
            for name, of in found.items()
        ]
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
        own, labels = self.summary.of_rankers["model"], self._labels()
        tiles = [Tile(labels[name], decimal(own[name].mean), interval(own[name])) for name in labels]
        text = [
            f"Whole catalogue: means over {count(len(self.evaluation.users))} users, whose test items are ranked among "
            f"all items that the model was not fitted on for them. {self._among.capitalize()}: means over "
            f"{count(len(self.evaluation.test))} test items, each ranked among so few items that values are higher. "
            "Below each value: its 95 % confidence interval (CI), by resampling users."
        ]
        tables = [
            self._with_intervals("Whole catalogue", self._whole()),
            self._with_intervals(self._among.capitalize(), _DRAWN),
        ]
        return Section("Key figures of this model", text, tiles=tiles, tables=tables)

    def _with_intervals(self, caption: str, shown: Mapping[str, str]) -> Table:
        """Model and baselines with the intervals of their means."""
        names = in_order(self.summary.of_rankers)
        found = [[self.summary.of_rankers[name][metric] for metric in shown] for name in names]
        rows = [
            (LABELS[name], *(Noted(decimal(one.mean), bounds(one)) for one in of))
            for name, of in zip(names, found, strict=True)
        ]
        return Table(("", *shown.values()), rows, caption)

    def _whole_catalogue(self) -> Section:
        catalogues, full = self.evaluation.catalogues, self.summary.full
        names = in_order(catalogues)
        shown = {metric: label for metric, label in _FULL.items() if not (self._one_each and metric == "recall")}
        rows = [
            (f"{label}@{cutoff}", *(decimal(full[name][f"{metric}_at_{cutoff}"]) for name in names))
            for metric, label in shown.items()
            for cutoff in FULL_CUTOFFS
        ]
        users = (
            "Each user has one test item, so Recall@K equals HR@K."
            if self._one_each
            else "HR@K is 1 for a user with a test item among the first K. Recall@K is the share of the user's test "
            "items among the first K. MRR@K is 1 / rank of the first of them."
        )
        text = [
            "Each user's test items are ranked among all items that the model was not fitted on for this user. All "
            f"values are means over users. {users}",
            self._baselines(),
            *self.evaluation.baselines.remarks,
        ]
        charts = [
            *(self._gains(f"full_{metric}_at_10", f"{label}@10") for metric, label in shown.items() if metric != "mrr"),
            evaluation_plots.ranks_found(
                {name: catalogue.ranked.ranks for name, catalogue in catalogues.items()}, self.model.config.n_items
            ),
        ]
        table = Table(("", *(LABELS[name] for name in names)), rows)
        return Section("Whole catalogue: model and baselines", text, tables=[table], charts=charts)

    def _baselines(self) -> str:
        """How the baselines were fitted."""
        baselines = self.evaluation.baselines
        settings = "; ".join(
            f"{LABELS[name]}: {', '.join(f'{setting} {number(value)}' for setting, value in found.items())}"
            for name, found in baselines.settings.items()
        )
        how = "Their settings are defaults, as there are no validation items"
        if baselines.chosen_on:
            how = (
                f"Their settings were chosen by NDCG@10 on the whole catalogue, on the validation items of "
                f"{count(baselines.chosen_on)} users"
            )
        return f"Baselines are fitted on the same training data. {how}: {settings}."

    def _drawn_items(self) -> Section:
        evaluation, values = self.evaluation, self.summary.values
        names = in_order(evaluation.ranks)
        rows = [
            (metric.upper().replace("_AT_", "@"), *(decimal(values[prefix_of(name) + metric]) for name in names))
            for metric in _SAMPLED
        ]
        text = [
            f"Each test item is ranked among {evaluation.candidates} items that its user has not interacted with. Of "
            "equal scores the test item has the lowest rank. Fewer items compete than on the whole catalogue, so "
            "values of the two protocols are not comparable.",
        ]
        charts = [
            *(self._gains(metric, label) for metric, label in (("ndcg_at_10", "NDCG@10"), ("hr_at_10", "HR@10"))),
            evaluation_plots.curves("NDCG", metrics.ndcg, evaluation.ranks),
            evaluation_plots.curves("HR", metrics.hits, evaluation.ranks),
        ]
        table = Table(("", *(LABELS[name] for name in names)), rows)
        return Section(f"{self._among.capitalize()}: model and baselines", text, tables=[table], charts=charts)

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
            f"{count(comparable.rows.sum())} test items; on the whole catalogue for {count(len(comparison.users))} "
            f"users. Left out: {count(comparable.unknown)} test items whose user or item the champion does not know, "
            f"and {count(comparable.leaked)} that it was fitted on. Items that it does not know have its lowest rank.",
            f"The gate closes if the whole interval of {self._labels()[found.metric]}, is below the allowed loss of "
            f"{self.max_loss_to_champion:g}.",
        ]
        shown = {metric: label for metric, label in self._labels().items() if metric in found.gains}
        rows = [
            (label, decimal(found.model[metric].mean), decimal(found.champion[metric].mean))
            for metric, label in shown.items()
        ]
        chart = evaluation_plots.champion_gains(
            "This model minus the champion", found.gains, shown, self.max_loss_to_champion
        )
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
                f"{values[prefix_of(name) + 'diversity_at_10']:.3f}",
                f"{values[prefix_of(name) + 'novelty_at_10']:.2f}",
            )
            for name in names
        ]
        popularity = {name: values[prefix_of(name) + "recommended_popularity"] for name in names}
        charts = [
            evaluation_plots.popularity_bias(popularity, test),
            evaluation_plots.long_tail(self.model.popularity, {name: catalogues[name].recommended for name in names}),
        ]
        text = (
            f"The first ten items for each of the {count(len(self.evaluation.users))} users of the whole catalogue. "
            "Popularity of an item: share of users with that item in training. Coverage: share of the catalogue that "
            "is recommended to at least one user. Gini coefficient: 0 if all items are recommended equally often, 1 if "
            "one item has all recommendations. Diversity: mean over the pairs of items in a list of 1 - cosine of "
            "their users; 0 if the same users have both, 1 if nobody has both. Novelty: mean of -log2 of the "
            "popularity, in bits; 1 more for items that half as many users have."
        )
        table = Table(("", "coverage", "Gini coefficient", "diversity", "novelty"), rows)
        return Section("Recommended items", [text], tables=[table], charts=charts)

    def _groups(self) -> Section:
        charts = [
            evaluation_plots.groups(f"HR@10 by the {title}", unit, "hr_at_10", found)
            for title, unit, found in (
                ("user's activity", "training interactions of the user: quarters of users", self.summary.activity),
                ("item's popularity", "training interactions of the test item: thirds of all", self.summary.popularity),
            )
        ]
        return Section("Groups of users and items", [f"HR@10 {self._among}, with 95 % intervals."], charts=charts)
