"""Report of a monitored window, in HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ncf.monitoring.capture import FAULTS
from ncf.monitoring.contest import Contest
from ncf.monitoring.drift import Drift
from ncf.monitoring.findings import LABELS, TRAINING, Findings
from ncf.monitoring.settings import Limits
from ncf.monitoring.traffic import Traffic
from ncf.reports import monitoring_plots as plots
from ncf.reports.html import Marked, Report, Section, Table, Tile, render
from ncf.reports.markdown import escape, table
from ncf.reports.numbers import bounds, count, decimal, percent
from ncf.reports.plots import Chart

_TITLE = "Monitoring"
_SOURCES = {
    "model": "by the model",
    "history": "by the history in the request",
    "popular": "popular items, the fallback",
    "failed": "no answer",
}
_NO_DRIFT = "Too few requests, or nothing to compare with."


@dataclass(frozen=True)
class MonitoringReport:
    """The content of the page.

    Attributes:
        endpoint: its name.
        sampling: share of the requests that is captured at present, percent; 0 if none is.
        found: in the window.
        limits: of the figures.
        sent: what was sent, a sentence each.
        is_over: whether the window has ended.
        settings: parameters, in a table.
        contest: of the variants of an experiment; None without one.
    """

    endpoint: str
    sampling: int
    found: Findings
    limits: Limits
    sent: Sequence[str]
    is_over: bool
    settings: Table
    contest: Contest | None = None

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.found.is_empty:
            return "no request was captured"
        breaches = len(self.found.breaches)
        return f"{breaches} limit{'s' if breaches != 1 else ''} breached" if breaches else "no limit is breached"

    def html(self) -> str:
        """The page: verdict, traffic, users and items, drift, lists, service, outcomes."""
        sections = [self._verdict()]
        if not self.found.is_empty:
            sections += [self._traffic(), self._drift(), self._lists(), self._service(), self._outcomes()]
            sections += [self._contest(self.contest)] if self.contest else []
            sections += [self._variants()] if len(self.found.observation.variants) > 1 else []
        sections.append(Section("Parameters", tables=[self.settings]))
        version = self.found.observation.population.version
        subtitle = f"endpoint {self.endpoint} (model {version}), {self.found.observation.window}"
        return render(Report(_TITLE, subtitle, sections))

    def markdown(self) -> str:
        """The summary: verdict, breaches and the main figures."""
        lines = [f"# {escape(self.endpoint)}: {self.verdict}", "", *self._remarks(), ""]
        lines += [f"- {escape(breach.text, 500)}" for breach in self.found.breaches]
        rows = [(tile.label, tile.value) for tile in (*self._traffic_tiles(), *self._share_tiles())]
        if self.contest:
            lines.append(f"- The challenger: {self.contest.verdict}. {self.contest.described()}.")
        rows += [(f"PSI of {LABELS[name]}", f"{one.psi:.3f}") for name, one in self.found.drifts.items()]
        return "\n".join([*lines, "", table(("", str(self.found.observation.window)), rows), ""])

    def _verdict(self) -> Section:
        found = self.found
        tone: Any = "bad" if found.breaches else "plain" if found.is_empty else "good"
        texts = [breach.text for breach in found.breaches]
        heading = f"{self.verdict[0].upper()}{self.verdict[1:]}"
        return Section(heading, [*(f"{text}." for text in texts), *self._remarks()], tone=tone)

    def _remarks(self) -> list[str]:
        """What limits the figures, and what was sent."""
        remarks = list(self.sent)
        if self.found.is_empty:
            remarks.append("The window has neither captured requests nor invocations. This is no breach.")
        elif not self.found.total.records:
            remarks.append("There are invocations, but no request was captured.")
        if others := self.found.total.of_others:
            names, live = ", ".join(sorted(self.found.total.others)), self.found.observation.population.version
            remarks.append(
                f"{percent(_share(others, self.found.total.lists))} of the lists are of other models ({names}). Known "
                f"users and items are those of {live}: 'model_uri' names another."
            )
        if not self.sampling:
            remarks.append("The endpoint captures no requests at present.")
        elif self.sampling < 100:
            remarks.append(
                f"{self.sampling} % of the requests are captured at present; counts are those of the sample."
            )
        if not self.is_over:
            remarks.append("The window has not ended.")
        return remarks

    def _traffic_tiles(self) -> list[Tile]:
        total, service = self.found.total, self.found.service
        errors = percent(service.server_errors / service.invocations) if service.invocations else "0"
        return [
            Tile("captured requests", count(total.records), f"{count(total.lists)} lists and scores"),
            Tile("invocations", count(service.invocations), "by CloudWatch"),
            Tile("5xx answers", count(service.server_errors), f"{errors} of invocations"),
            Tile("4xx answers", count(service.client_errors), "by CloudWatch"),
            Tile("unreadable records", count(total.unreadable), f"{percent(_share(total.unreadable, total.records))}"),
        ]

    def _share_tiles(self) -> list[Tile]:
        total = self.found.total
        return [
            self._limited("unknown users", "of requests", total.unknown_users, "max_unknown_users"),
            self._limited(
                "unknown items",
                f"of {count(total.requested)} in requests",
                _share(total.unknown_items, total.requested),
                "max_unknown_items",
            ),
            self._limited(
                "popular items",
                "of lists, the fallback",
                _share(total.sources["popular"], total.lists),
                "max_popular",
            ),
        ]

    def _limited(self, label: str, what: str, share: float, limit: str) -> Tile:
        """A share with its limit."""
        most: float = getattr(self.limits, limit)
        notes = [what, *([f"limit {percent(most, 0)}"] if most else [])]
        if most and share > most and limit not in {breach.limit for breach in self.found.breaches}:
            notes.append("above it by chance")
        return Tile(label, percent(share), "; ".join(notes))

    def _traffic(self) -> Section:
        total = self.found.total
        hours = {int(hour.start.timestamp()): hour.invocations for hour in self.found.service.hours}
        sources = [(_SOURCES[name], total.sources[name]) for name in _SOURCES if total.sources[name]]
        forms = sorted(total.forms.items(), key=lambda entry: -entry[1])
        faults = [(FAULTS[name], number) for name, number in total.faults.most_common()]
        tables = [Table(("form of the request", "lists and scores"), forms)]
        tables += [Table(("records that cannot be read", "records"), faults)] if faults else []
        charts = [plots.requests(total.hours, hours)] if total.hours or hours else []
        charts += [plots.sources(dict(sources))] if sources else []
        return Section(
            "Requests", tiles=self._traffic_tiles(), charts=charts, tables=[one for one in tables if one.rows]
        )

    def _drift(self) -> Section:
        found = self.found
        text = [
            f"Distributions of the window, compared with {_reference(found.reference)}. Each group has about a tenth "
            "of the training interactions, the most active users and the most popular items first; the last group "
            "is of those that the model does not know. Chance explains a PSI up to the bound in the table."
        ]
        rows = [
            (LABELS[name], f"{one.psi:.3f}", f"{one.bound:.3f}", count(one.now.total), _judged(one, self.limits))
            for name, one in found.drifts.items()
        ]
        left_out = [(LABELS[name], "", "", count(one.total), "not compared") for name, one in self._not_compared()]
        columns = ("distribution", "PSI", "chance explains", "observations", f"limit {self.limits.max_psi:g}")
        charts = [plots.drift(LABELS[name], one) for name, one in found.drifts.items()]
        tables = [Table(columns, [*rows, *left_out])] if rows or left_out else []
        texts = text if rows else [_NO_DRIFT]
        return Section("Users and items", texts, tiles=self._share_tiles(), charts=charts, tables=tables)

    def _not_compared(self) -> list[tuple[str, Any]]:
        return [entry for entry in self.found.distributions.items() if entry[0] not in self.found.drifts]

    def _lists(self) -> Section:
        total = self.found.total
        if not total.served.any():
            return Section("Items in lists", ["No list of items was captured."])
        found = total.concentration()
        tiles = [
            Tile("coverage", percent(found.coverage), "of the catalogue is in a list"),
            Tile("top 1 % of the items", percent(found.top_share), "of all places in lists"),
            Tile("Gini coefficient", f"{found.gini:.3f}", "0: equal, 1: one item alone"),
        ]
        return Section("Items in lists", tiles=tiles, charts=[plots.lorenz(total.served[:-1])])

    def _service(self) -> Section:
        service = self.found.service
        slowest = service.slowest
        if slowest is None:
            return Section("Latency and errors", ["CloudWatch has no invocations in this window."])
        overhead = f"{slowest.overhead_p99:,.1f} ms" if slowest.overhead_p99 else "not known"
        tiles = [
            Tile("p99 of the container", f"{slowest.latency_p99:,.1f} ms", f"hour from {slowest.start:%m-%d %H:%M}"),
            Tile("p99 of the overhead", overhead, "of SageMaker, in that hour"),
            Tile("mean of that hour", f"{slowest.latency:,.1f} ms", "of the container"),
        ]
        charts = [plots.latency(service.hours, self.limits.max_latency), plots.errors(service.hours)]
        return Section("Latency and errors", tiles=tiles, charts=charts)

    def _outcomes(self) -> Section:
        days, outcomes = self.found.days, self.found.observation.outcomes
        if outcomes is None:
            return Section("What users did with the lists", ["No later interactions were given (interactions_uri)."])
        waiting = f"{count(outcomes.too_recent)} lists are too recent: the interactions end before their horizon."
        if not days:
            return Section("What users did with the lists", [waiting])
        rows = [
            (
                day.day,
                day.variant,
                count(day.users),
                count(day.lists),
                f"{decimal(day.hit.mean)} ({bounds(day.hit)})",
                f"{decimal(day.ndcg.mean)} ({bounds(day.ndcg)})",
            )
            for day in days
        ]
        text = [
            "A list is a hit if its user interacted with one of its first ten items within the horizon. Each user "
            "counts once, with the mean of the own lists; intervals are of 95 %."
        ]
        columns = ("day", "variant", "users", "lists", "HR@10", "NDCG@10")
        texts = [*text, *([waiting] if outcomes.too_recent else [])]
        charts: list[Chart] = [plots.outcomes(days)]
        return Section("What users did with the lists", texts, charts=charts, tables=[Table(columns, rows)])

    def _contest(self, contest: Contest) -> Section:
        variants, difference = contest.variants, contest.difference
        said = {"better": "The challenger is better", "worse": "The challenger is worse", "not yet": "Not decided yet"}
        text = [
            f"{said[contest.verdict]}: {contest.described()}.",
            f"Experiment {variants.experiment}, since {variants.window.start:%Y-%m-%d %H:%M} UTC. Each user counts "
            "once, with the lists of the first day. The interval holds whenever one looks: a confidence sequence of "
            "Waudby-Smith et al. (arXiv 2103.06476).",
        ]
        left_out = {
            "went to the other variant than the user's": contest.misrouted,
            "had no user": contest.without_user,
            "are too recent": contest.too_recent,
        }
        if shown := [f"{count(number)} {why}" for why, number in left_out.items() if number]:
            text.append(f"Lists that do not count: {', '.join(shown)}.")
        rows = [
            (name, percent(share, digits=0), count(contest.users[name]), decimal(contest.hit[name]))
            for name, share in ((variants.champion, 1 - variants.share), (variants.challenger, variants.share))
            if contest.users[name]
        ]
        tables = [Table(("variant", "share", "users", "HR@10"), rows)] if rows else []
        tone: Any = {"better": "good", "worse": "bad", "not yet": "plain"}[contest.verdict]
        charts = [plots.contest(contest)] if difference else []
        return Section("Experiment", text, tables=tables, charts=charts, tone=tone)

    def _variants(self) -> Section:
        rows = [_variant(traffic) for traffic in self.found.observation.variants.values()]
        columns = ("variant", "requests", "lists", "unreadable", "unknown users", "popular lists", "coverage", "Gini")
        return Section("Variants", tables=[Table(columns, rows)])


def _variant(traffic: Traffic) -> Sequence[object]:
    found = traffic.concentration()
    return (
        traffic.variant,
        traffic.records,
        traffic.lists,
        traffic.unreadable,
        percent(traffic.unknown_users),
        percent(_share(traffic.sources["popular"], traffic.lists)),
        percent(found.coverage),
        f"{found.gini:.3f}",
    )


def _judged(one: Drift, limits: Limits) -> Marked:
    if not limits.max_psi or one.psi <= limits.max_psi:
        return Marked("kept", "good")
    return Marked("explained by chance", "same") if one.is_by_chance else Marked("breached", "bad")


def _reference(name: str) -> str:
    return "the training data of the model" if name == TRAINING else name


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
