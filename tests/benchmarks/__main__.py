"""Measure and print tables: ``python -m tests.benchmarks [NAME...]``; some only by name."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHMARKS = ("preprocess", "sampling", "training", "lazy", "evaluation", "serving")
BY_NAME = (
    "baselines",
    "batch",
    "catalogue",
    "containers",
    "epoch",
    "forecast",
    "gpu",
    "monitor",
    "multi_model",
    "peer",
    "peer_sasrec",
    "reproduce",
    "scale",
)
"""Those that need Docker, a GPU, somebody else's code, data, a trained model, or a long time."""


def show(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            *(
                f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
                for value in row.values()
            )
        )
    console.print(table)


def main() -> None:
    names = sys.argv[1:] or BENCHMARKS
    known = (*BENCHMARKS, *BY_NAME)
    if unknown := set(names) - set(known):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    console = Console(width=140)
    for name in names:
        module = import_module(f"tests.benchmarks.bench_{name}")
        show(console, (module.__doc__ or name).splitlines()[0], module.run())


if __name__ == "__main__":
    main()
