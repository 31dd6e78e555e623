"""The summary of batch recommendations: totals, and the same in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ncf.batch.users import Users
from ncf.reports.markdown import code, table
from ncf.reports.numbers import count, percent

_SHOWN_ROWS = 10


@dataclass
class Totals:
    """Totals over the parts of a batch.

    Attributes:
        rows: number of recommendations.
        answered: users with at least one row.
        items: raw IDs of all recommended items.
        made: users scored by this attempt.
        parts_resumed: parts that an earlier attempt has finished.
        seconds: time of scoring and writing.
        recall: of candidate retrieval, measured on some users; NaN if all items were scored.
        first: the first rows.
    """

    rows: int = 0
    answered: int = 0
    items: set[str] = field(default_factory=set)
    made: int = 0
    parts_resumed: int = 0
    seconds: float = 0.0
    recall: float = math.nan
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self.answered += pc.sum(pc.equal(table["rank"], 1)).as_py() or 0
        self.items.update(pc.unique(table["item"]).to_pylist())
        if len(self.first) < _SHOWN_ROWS:
            self.first += table.slice(0, _SHOWN_ROWS - len(self.first)).to_pylist()

    def figures(self, users: Users, n_items: int) -> dict[str, float]:
        """The content of the ``metrics`` output."""
        count = len(users.ids)
        figures = {
            "users": count,
            "rows": self.rows,
            "popular_share": users.unknown / count,
            "users_without_items": count - self.answered,
            "coverage": len(self.items) / n_items,
            "seconds": round(self.seconds, 3),
            "users_per_second": round(self.made / self.seconds, 1) if self.made else 0.0,
            "parts_resumed": self.parts_resumed,
            "repeated_users": users.repeated,
        }
        return figures if math.isnan(self.recall) else {**figures, "recall": self.recall}


def recommendations_markdown(version: str, figures: Mapping[str, float], schema: pa.Schema, totals: Totals) -> str:
    """The summary of a batch: counts, the columns of the files and the first rows.

    Args:
        version: of the model.
        figures: made by :meth:`Totals.figures`.
        schema: of the parquet files.
        totals: of the batch.
    """
    columns = [(code(column.name), str(column.type)) for column in schema]
    rows = [[_value(row[name]) for name in schema.names] for row in totals.first]
    blocks = [
        f"**{count(figures['rows'])} recommendations for {count(figures['users'])} users by model {code(version)}**",
        table(("", ""), _rows(figures)),
        f"Columns of {code('parts/*.parquet')}:",
        table(("column", "type"), columns),
        "The first rows:",
        table(schema.names, rows),
    ]
    return "\n\n".join(blocks) + "\n"


def _rows(figures: Mapping[str, float]) -> list[tuple[str, str]]:
    rows = [
        ("users", count(figures["users"])),
        ("users unknown to the model, who got popular items", percent(figures["popular_share"])),
        ("users without recommendations, as no item was left", count(figures["users_without_items"])),
        ("repeated users in the list, counted once", count(figures["repeated_users"])),
        ("share of the catalogue recommended to at least one user", percent(figures["coverage"])),
        ("time, in seconds", f"{figures['seconds']:,.1f}"),
        ("users per second", count(figures["users_per_second"])),
        ("finished parts of an earlier attempt", count(figures["parts_resumed"])),
    ]
    if "recall" in figures:
        rows.append(("recall of candidate retrieval, measured on some users", percent(figures["recall"], digits=2)))
    return rows


def _value(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
