"""One pass over the captured records of a window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ncf.monitoring.capture import RecordError, parsed, record_of, time_of
from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.files import Line
from ncf.monitoring.outcomes import Outcomes
from ncf.monitoring.population import Population
from ncf.monitoring.shown import shown_by
from ncf.monitoring.traffic import Traffic
from ncf.monitoring.window import Window
from ncf.progress import progress


@dataclass
class Observation:
    """What the records of a window show.

    Attributes:
        population: users and items of the live model.
        window: of the records.
        variants: traffic by variant.
        outcomes: of the lists; None without later interactions.
        outside: records of the same hours that are not in the window.
    """

    population: Population
    window: Window
    numbers: UserNumbers
    outcomes: Outcomes | None = None
    variants: dict[str, Traffic] = field(default_factory=dict)
    outside: int = 0

    def read(self, lines: Iterable[Line]) -> None:
        """Add captured records. One that cannot be read is counted, with the reason."""
        start, end = self.window.start.timestamp(), self.window.end.timestamp()
        with progress("reading captured records", unit="records") as bar:
            for line in lines:
                self._add(line, start, end)
                bar.update(1)

    def _add(self, line: Line, start: float, end: float) -> None:
        try:
            if line.content is None:
                raise RecordError("long_line")
            content = parsed(line.content)
            time = time_of(content)
        except RecordError as error:
            traffic = self._traffic(line.variant)
            traffic.records += 1
            traffic.faults[error.fault] += 1
            return
        if not start <= time < end:
            self.outside += 1
            return
        traffic = self._traffic(line.variant)
        traffic.count(time)
        try:
            shown = list(shown_by(record_of(content, time)))
        except RecordError as error:
            traffic.faults[error.fault] += 1
            return
        traffic.add(shown)
        if self.outcomes:
            for one in shown:
                self.outcomes.add(line.variant, time, one)

    def _traffic(self, variant: str) -> Traffic:
        if variant not in self.variants:
            self.variants[variant] = Traffic(variant, self.population, self.numbers)
        return self.variants[variant]

    def total(self) -> Traffic:
        """The traffic of all variants."""
        if len(self.variants) == 1:
            return next(iter(self.variants.values()))
        total = Traffic("all", self.population, self.numbers)
        for traffic in self.variants.values():
            total.merge(traffic)
        return total
