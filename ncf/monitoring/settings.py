"""Parameters of the monitoring: its limits. A limit of 0 is off."""

from __future__ import annotations

from pydantic import Field

from ncf.parameters import Parameters


class Limits(Parameters):
    """Limits, each of which a window may breach."""

    max_psi: float = Field(
        0.25,
        ge=0,
        le=100,
        description="Maximum population stability index of each distribution; a value that chance explains is no "
        "breach; 0: no limit",
    )
    max_unknown_users: float = Field(
        0.3, ge=0, le=1, description="Maximum share of requests of users that the model does not know; 0: no limit"
    )
    max_unknown_items: float = Field(
        0.3, ge=0, le=1, description="Maximum share of items in requests that the model does not know; 0: no limit"
    )
    max_popular: float = Field(
        0.5, ge=0, le=1, description="Maximum share of lists of popular items, the fallback; 0: no limit"
    )
    max_top_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Maximum share of all places in lists that the most frequent 1 % of the items have; 0: no limit",
    )
    min_coverage: float = Field(
        0.0, ge=0, le=1, description="Minimum share of the catalogue that is in any list; 0: no limit"
    )
    max_errors: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Maximum share of invocations with a 5xx answer, and of captured requests without a list in the "
        "answer; 0: no limit",
    )
    max_latency: int = Field(
        0,
        ge=0,
        le=60_000,
        description="Maximum latency (p99 of an hour), ms, of the container and SageMaker's overhead; 0: no limit",
    )
    max_unreadable: float = Field(
        0.05, ge=0, le=1, description="Maximum share of captured records that cannot be read; 0: no limit"
    )
    min_hit_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Minimum share of lists that are followed by an interaction with one of their items; breached "
        "if the whole 95 % interval lies below; 0: no limit",
    )
