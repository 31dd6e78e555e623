"""``ncf diff``: what changes for users if one model replaces another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.operators.named_model import ACCEPTED
from ncf.seed import seed_field
from ncf.stage.declaration import Stage

if TYPE_CHECKING:
    from ncf.artifacts.model_folder import ModelFolder
    from ncf.evaluation.champion import Comparison
    from ncf.evaluation.summary import ChampionSummary
    from ncf.reports.diff import DiffReport


class Diff(Stage, AwsAccess):
    """Compare the lists that two models serve to the same users. Also: the page diff.html of each run.

    With samples, the metrics of both models on the test items follow.
    """

    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.registry.package",
    )

    read_too = ("samples",)

    before: CliPositionalArg[str] = Field(min_length=1, description=f"The model that is replaced: {ACCEPTED}")
    after: CliPositionalArg[str] = Field(min_length=1, description="The model that replaces it, named in the same way")
    html: str = Field("", description="File to write as HTML, with twenty users side by side; '': none")
    samples: str = Field(
        "", description="Folder written by negative-sampling for the data of the model after; '': no metrics"
    )
    users: int = Field(
        2000, ge=1, le=10_000_000, description="Maximum number of users to compare, drawn by seed, and of the metrics"
    )
    bootstrap_resamples: int = Field(
        1000, ge=100, le=100_000, description="Number of bootstrap resamples for each confidence interval"
    )
    seed: int = seed_field("Seed of the drawn users and of the bootstrap")

    @model_validator(mode="after")
    def _html_is_a_file(self) -> Diff:
        if self.html and Path(self.html).is_dir():
            raise ValueError(f"parameter 'html' is '{self.html}', which is a folder; expected the name of a file")
        return self

    def run(self) -> None:
        from ncf.evaluation.diff import diff
        from ncf.operators.named_model import named_model
        from ncf.reports.diff import DiffReport
        from ncf.staged_output import staged

        with (
            named_model(self, "before", self.before) as (before, name_before),
            named_model(self, "after", self.after) as (after, name_after),
        ):
            comparison, metrics, absence = self._metrics(before, after, name_before)
            difference = diff(before, after, self.users, self.seed)
            report = DiffReport(
                difference=difference,
                groups=difference.of_groups(comparison, self.bootstrap_resamples, self.seed),
                before=name_before,
                after=name_after,
                metrics=metrics,
                no_metrics=absence,
                seed=self.seed,
            )
            _show(report)
            if self.html:
                with staged(Path(self.html)) as temporary:
                    temporary.write_text(report.html())
                print(f"written: {self.html}")

    def _metrics(
        self, before: ModelFolder, after: ModelFolder, name: str
    ) -> tuple[Comparison | None, ChampionSummary | None, str]:
        """The comparison on test items, and its summary; or the reason for none."""
        from ncf.artifacts.samples import Samples
        from ncf.evaluation.champion import Champion
        from ncf.evaluation.evaluation import compare
        from ncf.evaluation.summary import summarise_champion
        from ncf.storage import local_copy

        if not self.samples:
            return None, None, "No samples are given: the metrics need the test items of the model after."
        with local_copy(self.samples) as folder:
            champion = Champion(before, after, name)
            comparison, absence = compare(after, champion, Samples.load(folder), self.users, self.seed)
            if comparison is None:
                return None, None, absence
            return comparison, summarise_champion(comparison, self.bootstrap_resamples, self.seed), ""


def _show(report: DiffReport) -> None:
    """Print the difference as tables."""
    from rich.console import Console
    from rich.table import Table as ConsoleTable
    from rich.text import Text

    from ncf.console_text import visible
    from ncf.reports.html import Table

    console = Console(highlight=False)

    def show(title: str, table: Table) -> None:
        shown = ConsoleTable(title=title, title_justify="left", show_header=table.has_header)
        for at, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if table.right(at) else "left")
        for row in table.rows:
            shown.add_row(*(Text(visible(str(cell))) for cell in row))
        if table.rows:
            console.print(shown)

    for sentence in (f"{report.verdict}.", *report.facts(), report.no_metrics):
        if sentence:
            console.print(Text(visible(sentence)), soft_wrap=True)
    show("Key figures", Table(("", "", ""), [(tile.label, tile.value, tile.note) for tile in report.tiles()]))
    show("Metrics", report.metric_table())
    show("By activity", report.group_table(with_items=False))
    show("Items that gain exposure", report.item_table(gains=True))
    show("Items that lose exposure", report.item_table(gains=False))
