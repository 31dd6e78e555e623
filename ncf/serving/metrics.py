"""What operators watch, in Prometheus' text format: counts, latency, memory.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ncf.artifacts.model_folder import ModelConfig
from ncf.serving.load import Load

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATM = Path("/proc/self/statm")


class Metrics:
    """Counters of requests since the start. Only the event loop touches them.

    Args:
        load: what is under way.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests: Counter[tuple[str, int]] = Counter()
        self._rankings: Counter[str] = Counter()
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0

    def observe(self, form: str, status: int, seconds: float, sources: Counter[str]) -> None:
        """Count a request that has ended.

        Args:
            form: label of its form; '' where it was refused before that was known.
            status: of the answer; 499 where the client left before its end, 504 where it was cut short.
            seconds: it took.
            sources: what its lists of items were made from, and how many of each.
        """
        self._requests[form or "unknown", status] += 1
        self._rankings.update(sources)
        self._seconds += seconds
        place = next((place for place, bound in enumerate(_BUCKETS) if seconds <= bound), len(_BUCKETS))
        self._buckets[place] += 1

    def text(self, version: str, config: ModelConfig | None) -> str:
        """The page that Prometheus reads; without a model that is loaded, nothing is told of one."""
        return "".join(f"{line}\n" for line in self._lines(version, config))

    def _lines(self, version: str, config: ModelConfig | None) -> Iterator[str]:
        requests = [
            (f'{{form="{form}",status="{status}"}}', count) for (form, status), count in sorted(self._requests.items())
        ]
        yield from _metric("ncf_requests_total", "counter", "Requests by form and status.", requests)
        rankings = [(f'{{source="{source}"}}', count) for source, count in sorted(self._rankings.items())]
        yield from _metric(
            "ncf_rankings_total", "counter", "Lists of items by source; popular is the fallback.", rankings
        )
        yield from _metric(
            "ncf_requests_in_flight", "gauge", "Requests being read or answered.", [("", self._load.requests)]
        )
        unread = [("", self._load.unread_bytes)]
        yield from _metric("ncf_unread_bytes", "gauge", "Bytes of answers that clients have not taken yet.", unread)
        name, total = "ncf_request_duration_seconds", 0
        yield from _metric(name, "histogram", "From the first byte of a request to the last of its answer.", [])
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._seconds:.6f}"
        yield f"{name}_count {total}"
        if config is not None:
            labels = f'{{version="{version}",model="{config.model}"}}'
            yield from _metric("ncf_model_info", "gauge", "The model that answers.", [(labels, 1)])
            sizes = [('{kind="users"}', config.n_users), ('{kind="items"}', config.n_items)]
            yield from _metric("ncf_model_size", "gauge", "Users and items that the model knows.", sizes)
        if _STATM.is_file():
            resident = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            yield from _metric(
                "process_resident_memory_bytes", "gauge", "Resident memory, mapped files included.", [("", resident)]
            )


def _metric(name: str, kind: str, explanation: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {explanation}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"
