"""What a batch comes to: figures for programs, and a page for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ncf.batch.users import Users

_SHOWN_ROWS = 10


@dataclass
class Totals:
    """Adds up parts.

    Attributes:
        rows: of all parts.
        answered: users with at least one row.
        items: raw ids of all items recommended.
        made: users scored now rather than by an earlier try.
        parts_taken_up: parts of an earlier try.
        seconds: of scoring and writing.
        recall: of retrieval, measured on some users; NaN where all items were scored.
        first: the first rows.
    """

    rows: int = 0
    answered: int = 0
    items: set[str] = field(default_factory=set)
    made: int = 0
    parts_taken_up: int = 0
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
        """What stands in ``metrics``."""
        count = len(users.ids)
        figures = {
            "users": count,
            "rows": self.rows,
            "popular_share": users.unknown / count,
            "users_without_items": count - self.answered,
            "coverage": len(self.items) / n_items,
            "seconds": round(self.seconds, 3),
            "users_per_second": round(self.made / self.seconds, 1) if self.made else 0.0,
            "parts_taken_up": self.parts_taken_up,
            "repeated_users": users.repeated,
        }
        return figures if math.isnan(self.recall) else {**figures, "recall": self.recall}


def markdown(version: str, figures: Mapping[str, float], schema: pa.Schema, totals: Totals) -> str:
    """The page."""
    words = {
        "users": f"{figures['users']:,}",
        "rows": f"{figures['rows']:,}",
        "users that got popular items, as the model does not know them": f"{figures['popular_share']:.1%}",
        "users for whom no item was left": f"{figures['users_without_items']:,}",
        "items of the catalogue that somebody was recommended": f"{figures['coverage']:.1%}",
        "users a second": f"{figures['users_per_second']:,.0f}",
        "seconds": f"{figures['seconds']:,.1f}",
        "parts taken up from an earlier try": f"{figures['parts_taken_up']:,}",
        "users named twice in the list": f"{figures['repeated_users']:,}",
    }
    if "recall" in figures:
        words["of the truly best items found, measured on some users"] = f"{figures['recall']:.2%}"
    names = schema.names
    return "\n".join(
        [
            f"# Recommendations of model {version}",
            "",
            "| | |",
            "|---|---:|",
            *(f"| {label} | {value} |" for label, value in words.items()),
            "",
            f"Columns of `parts/*.parquet`: {', '.join(f'`{entry.name}` ({entry.type})' for entry in schema)}.",
            "",
            "The first rows:",
            "",
            f"| {' | '.join(names)} |",
            "|" + "---|" * len(names),
            *(f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in totals.first),
            "",
        ]
    )


def _cell(value: Any) -> str:
    """A value in a Markdown table, where ids and titles may hold anything."""
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    escaped = "".join(f"\\{char}" if char in r"\`*_{}[]<>|#!~" else char for char in text)
    return " ".join(escaped.split())[:120]
