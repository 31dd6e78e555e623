"""Metrics for Prometheus: counts, latency, model and process.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from ncf.serving.backpressure import Backpressure
from ncf.serving.recommender import Recommender
from ncf.serving.request_stats import RequestStats

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Metrics of one application, in a registry of its own.

    Args:
        backpressure: requests in flight and bytes not read yet.
    """

    def __init__(self, backpressure: Backpressure) -> None:
        self._registry = registry = CollectorRegistry()
        requests = Counter("ncf_requests", "Requests by form and status.", ["form", "status"], registry=registry)
        rankings = Counter(
            "ncf_rankings", "Lists of items by source; popular is the fallback.", ["source"], registry=registry
        )
        # a look-up by labels takes as long as all else that a request is counted with
        self._requests_with, self._rankings_from = cache(requests.labels), cache(rankings.labels)
        self._seconds = Histogram(
            "ncf_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            buckets=_BUCKETS,
            registry=registry,
        )
        in_flight = Gauge("ncf_requests_in_flight", "Requests being read or answered.", registry=registry)
        in_flight.set_function(lambda: backpressure.requests)
        unread = Gauge("ncf_unread_bytes", "Bytes of answers that clients have not read.", registry=registry)
        unread.set_function(lambda: backpressure.unread_bytes)
        self._model = Gauge("ncf_model_info", "The model that answers.", ["version", "model"], registry=registry)
        self._size = Gauge("ncf_model_size", "Users and items that the model knows.", ["kind"], registry=registry)
        self._loads = Counter("ncf_model_loads", "Loads on a multi-model endpoint.", ["outcome"], registry=registry)
        ProcessCollector(registry=registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: Prometheus' text format, or OpenMetrics if the client asks for it.

        Args:
            accept: header of the request; ignored if it names a version that is no number.
        """
        try:
            generate, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            generate, content_type = choose_encoder("")
        return generate(self._registry), content_type

    def observe(self, stats: RequestStats, seconds: float) -> None:
        """Count a request that has ended.

        Args:
            stats: of the request.
            seconds: duration of the request.
        """
        self._requests_with(stats.form, stats.status).inc()
        self._seconds.observe(seconds)
        for source, count in stats.sources.items():
            self._rankings_from(source).inc(count)

    def model_loaded(self, recommender: Recommender) -> None:
        """Describe the model."""
        self._model.labels(recommender.version, recommender.config.model).set(1)
        self._size.labels("users").set(recommender.config.n_users)
        self._size.labels("items").set(recommender.config.n_items)

    def count_models(self, count: Callable[[], int]) -> None:
        """Show the number of loaded models of a multi-model endpoint. No metric has a label for each of them."""
        gauge = Gauge("ncf_models_loaded", "Models in memory.", registry=self._registry)
        gauge.set_function(count)

    def count_load(self, outcome: str) -> None:
        """Count a load of a model."""
        self._loads.labels(outcome).inc()
