"""The monitor stage: figures of a live endpoint, limits, notification and the event that starts a training run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator

from ncf.aws.settings import AwsAccess
from ncf.errors import InputError
from ncf.monitoring.settings import Limits
from ncf.sagemaker.hosting.settings import checked_endpoint_name
from ncf.sagemaker.runs.settings import check_notify
from ncf.seed import DEFAULT_SEED
from ncf.stage.declaration import Output, OutputParameter, Stage, check_location
from ncf.stage.pod import Pod

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.monitoring.contest import Contest
    from ncf.monitoring.drift import Histogram
    from ncf.monitoring.findings import Findings
    from ncf.monitoring.interactions import LaterInteractions
    from ncf.monitoring.observation import Observation
    from ncf.monitoring.population import Population
    from ncf.monitoring.window import Window
    from ncf.reports.html import Table
    from ncf.sagemaker.hosting.captured import CapturedEndpoint

_log = logging.getLogger(__name__)

MARKERS = "_monitor"
"""Folder of the markers, beside those of the endpoints, whose names begin with a letter or digit."""


class Monitor(Stage, Limits, AwsAccess):
    """Tell from its captured requests and answers how a live endpoint does, and notify if a limit is breached.

    The stage reads the data capture of a time window: errors, unknown users and items, fallback answers, concentration,
    drift since training, and latency by CloudWatch. With later interactions it tells how often a list was followed by
    an interaction with one of its items. A window that breaches a limit is notified once, and sends an event once, from
    which a training run is started. A breach is a result, not an error.
    """

    image = "preprocess"
    pod = Pod(cpu="1", memory="8G")
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.events",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.captured",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.experiment",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.running_experiment",
        "ncf.sagemaker.hosting.service_metrics",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.registry.package",
        "ncf.sagemaker.runs.notification",
    )

    read_too = ("model_uri", "capture_uri", "interactions_uri", "reference_uri")

    endpoint_name: str = Field(min_length=1, description="SageMaker endpoint to monitor")
    since: str = Field(
        "",
        description="Start of the window: ISO date or number (seconds, milliseconds, ... since 1970), UTC; '': the "
        "latest complete window. With later interactions this is one whose horizon has passed",
    )
    hours: int = Field(24, ge=1, le=31 * 24, description="Length of the window, hours")
    capture_uri: str = Field(
        "", description="S3 URI or path of the data capture; '': where the endpoint records to at present"
    )
    model_uri: str = Field(
        "", description="S3 URI or path of the model that answered in the window; '': the one that the endpoint serves"
    )
    interactions_uri: str = Field(
        "",
        description="S3 URI or path of later interactions, of which those from the window on are read, as the training "
        "data of the model were; '': none",
    )
    horizon_hours: int = Field(
        24, ge=1, le=31 * 24, description="Hours after a list in which an interaction with one of its items is a hit"
    )
    reference_uri: str = Field(
        "",
        description="S3 URI or path of the figures of an earlier window, from which drift is measured; '': the "
        "training data",
    )
    notify: str = Field(
        "",
        description="Target of the notification of a breach: ARN of an SNS topic, or URL for a POST of JSON; '': no "
        "notification",
    )
    retrain: bool = Field(
        False, description="Whether a breach sends an event to EventBridge, which starts a training run"
    )
    stop_worse: bool = Field(
        False, description="Whether an experiment is stopped whose challenger is worse; 'interactions_uri' is needed"
    )
    markers_uri: str = Field(
        "",
        description=f"S3 URI or path of the markers of sent messages; '': the folder {MARKERS} of the data capture",
    )

    report: Path = Output("HTML", "Plots of the window: traffic, drift, concentration, latency, outcomes")
    metrics: Path = Output("Metrics", "The main figures of the window")
    summary: Path = Output("Markdown", "Breached limits and a short table of figures")
    figures: Path = Output("Artifact", "All figures as JSON, which a later window may be compared with")
    breached: Path = OutputParameter(bool, "Whether a limit is breached")

    @field_validator("endpoint_name")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @field_validator("since")
    @classmethod
    def _is_time(cls, value: str) -> str:
        from ncf.data.times import to_time

        try:
            _ = value and to_time(value)
        except ValueError:
            raise ValueError(
                f"since is '{value}'; expected an ISO date such as 2026-05-31T08:00 or a number since 1970"
            ) from None
        return value

    @field_validator("markers_uri")
    @classmethod
    def _is_location(cls, value: str, info: ValidationInfo) -> str:
        if value:
            check_location(str(info.field_name), value)
        return value

    @field_validator("notify")
    @classmethod
    def _is_recipient(cls, value: str) -> str:
        check_notify(value)
        return value

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.monitoring import figures
        from ncf.monitoring.window import Window
        from ncf.reports.monitoring import MonitoringReport
        from ncf.sagemaker.hosting.captured import captured_endpoint

        aws, now = Aws(self), datetime.now(UTC)
        window = Window.of(self.since, self.hours, now, self.horizon_hours if self.interactions_uri else 0)
        endpoint = captured_endpoint(aws, self.endpoint_name)
        found = self._find(aws, endpoint, window)
        contest, remarks = self._contest(aws, endpoint, found.observation)
        sent = [*self._send(aws, endpoint, found), *remarks]
        if contest:
            sent += self._act(aws, endpoint, contest)
        content = figures.content(found, self.endpoint_name, endpoint.sampling, contest)
        self.figures.write_text(json.dumps(content, indent=2) + "\n")
        self.metrics.write_text(json.dumps(figures.metrics(found, contest), indent=2) + "\n")
        report = MonitoringReport(
            endpoint=self.endpoint_name,
            sampling=endpoint.sampling,
            found=found,
            limits=self,
            sent=sent,
            is_over=window.end <= now,
            settings=self._settings_table(),
            contest=contest,
        )
        self.report.write_text(report.html())
        self.summary.write_text(report.markdown())
        self.breached.write_text(json.dumps(bool(found.breaches)))
        _log.info("%s: %s", window, report.verdict)

    def _settings_table(self) -> Table:
        """The parameters, without the target of the notification, which may hold a secret."""
        from ncf.reports.html import settings_table

        left_out = {*AwsAccess.model_fields, "notify"}
        shown = {name: value for name, value in self.parameter_values().items() if name not in left_out}
        return settings_table(shown, self.parameters())

    def _find(self, aws: Aws, endpoint: CapturedEndpoint, window: Window) -> Findings:
        from ncf.monitoring.clusters import UserNumbers
        from ncf.monitoring.files import captured_lines
        from ncf.monitoring.findings import TRAINING, findings
        from ncf.monitoring.observation import Observation
        from ncf.monitoring.outcomes import Outcomes
        from ncf.sagemaker.hosting.service_metrics import service_of

        location = self._capture(endpoint)
        with self._population(aws) as population:
            numbers = UserNumbers(population.users.index)
            later = self._interactions(population, window)
            outcomes = Outcomes(later, numbers, self.horizon_hours) if later else None
            observation = Observation(population, window, numbers, outcomes)
            observation.read(captured_lines(location, self.endpoint_name, window))
            service = service_of(aws, self.endpoint_name, [*{*endpoint.variants, *observation.variants}], window)
            reference, name = self._reference(population)
            distributions = later.histograms(window, population) if later else {}
            return findings(observation, service, distributions, reference, name or TRAINING, self, DEFAULT_SEED)

    def _contest(
        self, aws: Aws, endpoint: CapturedEndpoint, observation: Observation
    ) -> tuple[Contest | None, list[str]]:
        """The comparison of the variants of an experiment until the end of the window, and remarks.

        An experiment whose challenger may no longer be served is stopped, whatever the window.
        """
        from ncf.aws.names import CHALLENGER_VARIANT, VARIANT
        from ncf.monitoring.contest import FirstDays, Variants
        from ncf.monitoring.files import captured_lines
        from ncf.monitoring.window import HOUR_SECONDS, Window
        from ncf.sagemaker.hosting.running_experiment import of_endpoint

        running = of_endpoint(aws, self.endpoint_name)
        if running is None or not running.is_running:
            return None, []
        if reason := self._withdrawn(aws, running.challenger):
            self._stop(aws)
            return None, [f"The experiment was stopped: {reason}."]
        if running.started >= observation.window.end:
            return None, []
        whole = Window(running.started, observation.window.end)
        later = self._interactions(observation.population, whole)
        if later is None:
            return None, ["The variants of its experiment are compared only with later interactions."]
        variants = Variants(running.name, VARIANT, CHALLENGER_VARIANT, running.share, whole)
        days = FirstDays(variants, later, float(self.horizon_hours * HOUR_SECONDS))
        days.read(captured_lines(self._capture(endpoint), self.endpoint_name, whole))
        contest = days.contest()
        _log.info("experiment %s: %s: %s", running.name, contest.verdict, contest.described())
        return contest, []

    def _withdrawn(self, aws: Aws, challenger: str) -> str:
        """Reason why a challenger may no longer be served; '' if it may."""
        from ncf.sagemaker.hosting.packages import check_approved

        try:
            check_approved(aws, challenger)
        except InputError as error:
            return str(error)
        return ""

    def _stop(self, aws: Aws) -> None:
        """Stop the experiment."""
        from ncf.sagemaker.hosting.experiment import ExperimentHost
        from ncf.sagemaker.hosting.settings import EndpointSettings

        wait_time = EndpointSettings.model_fields["endpoint_wait_time"].default
        ExperimentHost(aws, self.endpoint_name, wait_time).stop()

    def _act(self, aws: Aws, endpoint: CapturedEndpoint, contest: Contest) -> list[str]:
        """Stop an experiment whose challenger is worse, and notify once of a verdict.

        Returns:
            What was done, a sentence each.
        """
        from ncf.monitoring.markers import Markers
        from ncf.monitoring.messages import VerdictNotice
        from ncf.sagemaker.runs.notification import notify

        if contest.verdict == "not yet":
            return []
        said = []
        if self.stop_worse and contest.verdict == "worse":
            self._stop(aws)
            said.append("The experiment was stopped: the live model serves all users.")
        markers = Markers(f"{self._markers(endpoint)}/{self.endpoint_name}", contest.variants.experiment)
        if self.notify and not markers.has(contest.verdict):
            if undelivered := notify(self, self.notify, VerdictNotice(self.endpoint_name, contest)):
                said.append(f"{undelivered[0].upper()}{undelivered[1:]}.")
            else:
                markers.set(contest.verdict, {"experiment": contest.variants.experiment})
                said.append("A notification of the verdict was sent.")
        return said

    def _markers(self, endpoint: CapturedEndpoint) -> str:
        return self.markers_uri or f"{self._capture(endpoint).rstrip('/')}/{MARKERS}"

    def _capture(self, endpoint: CapturedEndpoint) -> str:
        location = self.capture_uri or endpoint.location
        if not location:
            raise InputError(
                f"endpoint {self.endpoint_name} records no requests; deploy it with 'data_capture_s3_uri', or give "
                "'capture_uri'"
            )
        return location

    @contextmanager
    def _population(self, aws: Aws) -> Iterator[Population]:
        from ncf.monitoring.population import Population
        from ncf.sagemaker.hosting.deployed_model import deployed_model, local_model

        uri = self.model_uri
        if not uri:
            deployed = deployed_model(aws, self.endpoint_name)
            if deployed.absence:
                raise InputError(f"parameter 'endpoint_name': {deployed.absence} 'model_uri' names a model")
            uri = deployed.uri
        with local_model(uri) as folder:
            yield Population.load(folder)

    def _interactions(self, population: Population, window: Window) -> LaterInteractions | None:
        from ncf.data.release import names_to_read
        from ncf.monitoring.interactions import LaterInteractions, ReadAs
        from ncf.storage import local_copy

        if not self.interactions_uri:
            return None
        with local_copy(self.interactions_uri, names_to_read) as path:
            return LaterInteractions.read(path, window, ReadAs.of(population))

    def _reference(self, population: Population) -> tuple[Mapping[str, Histogram], str]:
        from ncf.monitoring.figures import reference
        from ncf.storage import local_copy

        if not self.reference_uri:
            return {}, ""
        with local_copy(self.reference_uri) as path:
            return reference(path, population.version)

    def _send(self, aws: Aws, endpoint: CapturedEndpoint, found: Findings) -> list[str]:
        """Send what a breach requires and was not sent for this window before.

        Returns:
            What was sent or not, a sentence each.
        """
        from ncf.aws.events import put_event
        from ncf.aws.names import BREACH, MONITOR_SOURCE
        from ncf.monitoring.markers import Markers
        from ncf.monitoring.messages import BreachNotice, detail
        from ncf.sagemaker.runs.notification import notify

        if not found.breaches or not (self.retrain or self.notify):
            return []
        window = found.observation.window
        markers = Markers(f"{self._markers(endpoint)}/{self.endpoint_name}", window.id)
        notice, said = BreachNotice(self.endpoint_name, found), []
        if self.retrain:
            if markers.has("event"):
                said.append("The event for this window was sent before.")
            else:
                event = put_event(aws, MONITOR_SOURCE, BREACH, detail(self.endpoint_name, found), [endpoint.arn])
                markers.set("event", {"id": event, "window": window.id})
                said.append(f"An event was sent, from which a training run is started (ID {event}).")
        if self.notify:
            if markers.has("notification"):
                said.append("The notification of this window was sent before.")
            elif undelivered := notify(self, self.notify, notice):
                said.append(f"{undelivered[0].upper()}{undelivered[1:]}.")
            else:
                markers.set("notification", {"window": window.id})
                said.append("A notification was sent.")
        return said
