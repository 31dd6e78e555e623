"""The preprocess stage: a data set from raw interactions."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ncf.aws.settings import Region
from ncf.data import reading, release
from ncf.data.event_settings import EventSettings
from ncf.data.filtering import Duplicates
from ncf.data.layout import Separator
from ncf.data.preparation import Settings, prepare
from ncf.data.release_preparation import prepare_release
from ncf.data.times import to_time
from ncf.errors import InputError
from ncf.seed import seed_field
from ncf.stage.declaration import Input, Output, Stage, check_one_given
from ncf.stage.pod import Pod
from ncf.storage import local_copy

_DEFAULTS = Settings()


class Preprocess(Stage, EventSettings, Region):
    """Convert raw interactions to a data set: filtered, split into training, validation and test, ids as indices.

    The source is the artifact 'interactions' or the location 'interactions_uri'. Supported formats are CSV, TSV,
    '::'-separated text and parquet, as a file or a folder of files, plain or compressed (.gz, .bz2, .xz, .zst). In a
    folder, files named ratings*, interactions* or events* are read. Without such files, all tables except items.*,
    movies.*, *.item, users.* and README* are read. A folder in the NCF release format (*.train.rating, *.test.rating,
    *.test.negative) keeps its own test pairs and negatives.
    """

    pod = Pod(cpu="2", memory="8G")
    calls = ("ncf.storage",)

    read_too = ("interactions_uri", "items", "forgotten_uri")

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
    min_rating: float = Field(
        _DEFAULTS.min_rating,
        allow_inf_nan=False,
        description="Minimum rating of a positive interaction",
    )
    min_user_interactions: int = Field(
        _DEFAULTS.min_user_interactions,
        ge=1,
        le=1_000_000,
        description="Minimum number of interactions of a user; users with fewer are dropped",
    )
    min_item_interactions: int = Field(
        _DEFAULTS.min_item_interactions,
        ge=1,
        le=1_000_000,
        description="Minimum number of interactions of an item; items with fewer are dropped",
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
    user_column: str = Field(
        _DEFAULTS.user_column,
        description="Column of users: its name, or its number from 1; '': detected (userId, user, ...)",
    )
    item_column: str = Field(
        _DEFAULTS.item_column,
        description="Column of items: name or number; '': detected (movieId, item_id, item, ...)",
    )
    rating_column: str = Field(
        _DEFAULTS.rating_column,
        description="Column of ratings: name or number; '': detected; 'none': without ratings",
    )
    timestamp_column: str = Field(
        _DEFAULTS.timestamp_column,
        description="Column of timestamps (seconds or milliseconds since 1970, or ISO dates): name or number; '': "
        "detected; 'none': without timestamps, so that held-out items are drawn by seed",
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
    duplicates: Duplicates = Field(
        _DEFAULTS.duplicates,
        description="Interaction that is kept of several between a user and an item: 'latest' or 'first'",
    )
    separator: Separator = Field(
        "auto",
        description="Separator of columns in text: 'auto', 'comma', 'tab', 'double_colon', 'semicolon', 'pipe' or "
        "'space'",
    )
    max_unreadable: float = Field(
        _DEFAULTS.max_unreadable,
        ge=0,
        le=1,
        description="Maximum share of rows without an id or event type, or with an unreadable rating or timestamp. "
        "These rows are dropped and reported; a larger share is an error. With the default, one such row in fewer than "
        "10,000 rows is an error",
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
            sources = [*(files or reading.interaction_files(path)), *([titles] if titles else [])]
            digests = reading.digests(path, sources)
        source = {
            "fingerprint": reading.fingerprint(digests),
            "files": digests,
            **({} if forgotten is None else {"forgotten": forgotten.fingerprint()}),
            **made_by(self.pipeline_run()),
        }
        prepared.dataset.save(self.dataset, self.parameter_values(), source)
        self.metrics.write_text(json.dumps(prepared.metrics(), indent=2) + "\n")
        settings_shown = settings_table(self.parameter_values(), self.parameters())
        self.report.write_text(dataset_report(prepared, manifest.version_of(self.dataset), settings_shown))
