"""The preprocess stage: a data set from raw interactions."""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from ncf.aws.settings import AwsAccess
from ncf.data import reading, release
from ncf.data.comparison_settings import CHAMPION, NONE, ComparisonSettings
from ncf.data.event_settings import EventSettings
from ncf.data.preparation import Settings, prepare
from ncf.data.reading_settings import ReadingSettings
from ncf.data.release_preparation import prepare_release
from ncf.data.times import to_time
from ncf.errors import InputError
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.seed import seed_field
from ncf.stage.declaration import Input, Output, Stage, check_one_given
from ncf.stage.pod import Pod
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.artifacts.profile import Profile
    from ncf.data.comparison import Comparison
    from ncf.data.preparation import Prepared

_log = logging.getLogger(__name__)
_DEFAULTS = Settings()


class Preprocess(Stage, ReadingSettings, EventSettings, ComparisonSettings, ChampionSettings, AwsAccess):
    """Convert raw interactions to a data set: filtered, split into training, validation and test, ids as indices.

    The source is the artifact 'interactions' or the location 'interactions_uri'. Supported formats are CSV, TSV,
    '::'-separated text and parquet, as a file or a folder of files, plain or compressed (.gz, .bz2, .xz, .zst). In a
    folder, files named ratings*, interactions* or events* are read. Without such files, all tables except items.*,
    movies.*, *.item, users.* and README* are read. A folder in the NCF release format (*.train.rating, *.test.rating,
    *.test.negative) keeps its own test pairs and negatives.

    The interactions are compared with the last good ones, those of the champion's model. Beyond a limit, as with half
    of the rows, the stage fails, and the live model stays.
    """

    pod = Pod(cpu="2", memory="8G")
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.champion",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.live",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.registry.package",
    )

    read_too = ("interactions_uri", "items", "forgotten_uri", "last_good")

    interactions: str = Input("Dataset", "File or folder of interactions", optional=True)
    interactions_uri: str = Field(
        "", description="S3 URI or path of the interactions, instead of the artifact 'interactions'"
    )
    items: str = Field(
        "",
        description="Path or S3 URI of the file of titles; '': items.*, movies.* or *.item in the folder of the data",
    )
    forgotten_uri: str = Field(
        "",
        description="Folder or S3 prefix of lists of forgotten users, which 'ncf forget' writes: their interactions "
        "are left out; '': none",
    )
    split: Literal["leave_one_out", "temporal"] = Field(
        _DEFAULTS.split,
        description="Held-out interactions: 'leave_one_out' (the latest two of each user) or 'temporal' (all from "
        "test_after on)",
    )
    test_after: str = Field(
        _DEFAULTS.test_after,
        description="Start of the test period: ISO date or seconds since 1970 (UTC); '' for leave_one_out",
    )
    validation_after: str = Field(
        _DEFAULTS.validation_after,
        description="Start of the validation period, which ends at test_after; '': the latest tenth before test_after",
    )
    title_column: str = Field(
        _DEFAULTS.title_column,
        description="Column of titles in the file of titles: name or number; '': detected (title, name, ...); 'none': "
        "without titles",
    )
    title_item_column: str = Field(
        _DEFAULTS.title_item_column,
        description="Column of items in the file of titles: name or number; '': detected (item_column, movieId, ...)",
    )
    seed: int = seed_field("Seed of the held-out items where timestamps are equal or missing")

    dataset: Path = Output("Dataset", "Positives as indices, split, with ids and titles")
    report: Path = Output("HTML", "Counts, histograms, dropped rows with reasons, and the split")
    metrics: Path = Output("Metrics", "Users, items, interactions, sparsity, sizes of the parts, dropped rows")

    @model_validator(mode="after")
    def _one_source(self) -> Preprocess:
        check_one_given(self, "interactions", "interactions_uri")
        return self

    @model_validator(mode="after")
    def _dates_fit_the_split(self) -> Preprocess:
        if self.split == "temporal" and not self.test_after:
            raise ValueError("split 'temporal' requires test_after: an ISO date or seconds since 1970")
        for name in ("test_after", "validation_after"):
            value = getattr(self, name)
            if value and self.split != "temporal":
                raise ValueError(f"{name} is '{value}', but split is '{self.split}'; it requires split 'temporal'")
            try:
                _ = value and to_time(value)
            except ValueError:
                raise ValueError(
                    f"{name} is '{value}'; expected an ISO date such as 2024-05-31 or seconds since 1970"
                ) from None
        return self

    def run(self) -> None:
        from ncf.artifacts import manifest
        from ncf.artifacts.forgotten import Forgotten
        from ncf.artifacts.profile import KEY
        from ncf.artifacts.provenance import made_by
        from ncf.reports.dataset import dataset_report
        from ncf.reports.html import settings_table

        settings = Settings(**{field.name: getattr(self, field.name) for field in fields(Settings)})
        with ExitStack() as stack:
            path = stack.enter_context(local_copy(self.interactions or self.interactions_uri, release.names_to_read))
            files = release.release_files(path)
            titles = stack.enter_context(local_copy(self.items)) if self.items else reading.title_file(path)
            forgotten = (
                Forgotten.load(stack.enter_context(local_copy(self.forgotten_uri))) if self.forgotten_uri else None
            )
            if files and forgotten:
                raise InputError(
                    f"forgotten_uri is '{self.forgotten_uri}', but the data are in the NCF release format, which is "
                    "taken as it is; delete the rows of forgotten users there"
                )
            prepared = prepare_release(files, settings, titles) if files else prepare(path, settings, titles, forgotten)
            self._log_forecast(prepared)
            clock = time.time_ns() // 1000
            comparison = self._comparison(prepared.profile, clock)
            sources = [*(files or reading.interaction_files(path)), *([titles] if titles else [])]
            digests = reading.digests(path, sources)
        source = {
            "fingerprint": reading.fingerprint(digests),
            "files": digests,
            KEY: {**prepared.profile.model_dump(), **({"read": clock} if self.pipeline_run() else {})},
            **({} if forgotten is None else {"forgotten": forgotten.fingerprint()}),
            **made_by(self.pipeline_run()),
        }
        prepared.dataset.save(self.dataset, self.parameter_values(), source)
        self.metrics.write_text(json.dumps(prepared.metrics(), indent=2) + "\n")
        settings_shown = settings_table(self.parameter_values(), self.parameters())
        self.report.write_text(dataset_report(prepared, manifest.version_of(self.dataset), comparison, settings_shown))

    def _log_forecast(self, prepared: Prepared) -> None:
        """Log what the later stages are expected to take."""
        from ncf.forecast import text
        from ncf.forecast.forecast import fit
        from ncf.forecast.machines import Machine
        from ncf.forecast.pods import pod_forecasts
        from ncf.forecast.size import size_of
        from ncf.training.hyperparameters import Hyperparameters

        size = size_of(prepared.dataset, prepared.profile.rows)
        pods = pod_forecasts(size)
        _log.info("forecast: %s", text.data_line(size))
        for name, (stage, machine) in pods.items():
            _log.info("forecast: %s", text.stage_line(name, stage, machine))
        defaults = Hyperparameters.model_validate({})
        fitted = fit(size, defaults)
        _log.info("forecast: %s", text.stage_line("train, with default settings", fitted, Machine("one core", 1)))
        for note in text.notes_on_data(size, defaults, pods):
            _log.info("forecast: %s", note)

    def _comparison(self, profile: Profile, clock: int) -> Comparison:
        """The interactions beside the last good ones.

        Args:
            profile: of the interactions.
            clock: microseconds since 1970 UTC, now.

        Raises:
            InputError: if a figure is beyond its limit, or ``last_good`` is not a readable folder.
            RemoteError: if AWS refuses a call.
        """
        from ncf.data.comparison import Comparison, compare

        name, last, absence = self._last_good()
        if last is None:
            _log.info("not compared with the last good data: %s", absence)
            return Comparison(absence=absence)
        found = Comparison(name, compare(profile, last, self.limits, clock))
        if beyond := found.exceeded():
            raise InputError(
                f"{self.interactions or self.interactions_uri}: these data are not like the last good ones, those of "
                f"{name}: {'; '.join(map(str, beyond))}. If the data are right, give these limits other values "
                f"('limits', in the pipeline 'data_limits'), or no comparison ('last_good', 'data_last_good': {NONE})"
            )
        _log.info("compared with the last good data, those of %s: within the limits", name)
        return found

    def _last_good(self) -> tuple[str, Profile | None, str]:
        """Name and profile of the last good data, or the reason for no comparison.

        Raises:
            InputError: if ``last_good`` is not a readable folder of a data set or model.
            RemoteError: if AWS refuses a call.
        """
        from ncf.artifacts.manifest import FILE_NAME
        from ncf.artifacts.profile import profile_in

        old = "they were read by an earlier version of ncf, which recorded no figures"
        if self.last_good == NONE:
            return "", None, f"'last_good' is '{NONE}'"
        if self.last_good != CHAMPION:
            with local_copy(self.last_good, lambda names: [name for name in names if name == FILE_NAME]) as folder:
                return self.last_good, profile_in(folder), f"{self.last_good}: {old}"
        if not (self.champion_endpoint or self.champion_group):
            return "", None, "neither 'champion_endpoint' nor 'champion_group' is set"

        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.champion import champion_model
        from ncf.sagemaker.hosting.deployed_model import local_model

        champion = champion_model(Aws(self), self, self.pipeline_run())
        if champion.absence:
            return "", None, champion.absence
        try:
            with local_model(champion.uri, FILE_NAME) as folder:
                return champion.name, profile_in(folder), f"{champion.name}: {old}"
        except InputError as error:  # its objects may be deleted, or of another kind: that must not stop a new model
            _log.warning("the model of %s cannot be read: %s", champion.name, error)
            return "", None, f"the model of {champion.name} cannot be read: {error}"
