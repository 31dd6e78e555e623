"""Event types and the time window in the preprocess stage, run as its command is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ncf.errors import InputError
from ncf.reports import dataset as dataset_report
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess

EVENTS = "user,item,event_type,ts\n" + "".join(
    f"u{user},i{item},{'buy' if item % 4 == user else 'view'},2024-01-{1 + item:02}\n"
    for user in range(3)
    for item in range(9)
)


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_report, "svg", lambda _: "<svg/>")


def preprocess(folder: Path, *arguments: str) -> tuple[dict[str, float], str]:
    """Metrics and report of ``a.csv`` in a folder."""
    output = folder / "output"
    outputs = [f"--{name}={output / name}" for name in ("dataset", "report", "metrics")]
    run(Preprocess, ["--interactions", str(folder / "a.csv"), *outputs, *arguments])
    return json.loads((output / "metrics").read_text()), (output / "report").read_text()


def test_the_report_counts_events_by_type_and_in_the_window(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(EVENTS)
    chosen = ('--event-weights={"view": 0.25, "buy": 5}', "--days=6")
    metrics, report = preprocess(tmp_path, *chosen)
    shown = " ".join(re.sub(r"<[^>]+>", " ", report).split())
    assert (
        "Time window: days is 6: 18 of 27 events are from 2024-01-03 00:00:01 on; the events run from 2024-01-01"
        in shown
    )
    assert "Event type Weight Events Share In the time window view 0.25 20 74.1% 14 buy 5 7 25.9% 4 " in shown
    assert (metrics["read"], metrics["dropped_outside_window"], metrics["dropped_left_out_events"]) == (27, 9, 0)


def test_the_report_names_a_column_of_event_types_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(EVENTS)
    report = preprocess(tmp_path)[1]
    assert "(buy, view) looks like the type of an event and is not read, so all events count alike." in report
    assert "Time window" not in report
    assert "Event type" not in report


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--event-weights=view", "'event_weights' is 'view': expected a JSON object"),
        ("--event-weights=view=nan", "the weight of 'view' is nan; expected 0, or 1e-06 to 1,000,000"),
        ("--event-weights=view=1e9", "the weight of 'view' is 1e+09; expected 0, or 1e-06 to 1,000,000"),
        ("--event-weights=null=1", "'null' stands for a missing value; expected an event type, or '*'"),
        ("--event-weights=view=0,buy=0", "all weights are 0"),
        (
            "--event-weights=view=1",
            "event type 'buy', of 7 events, has no weight in event_weights; expected weights for 'view'",
        ),
        ("--event-column=event_type", "no event_weights; expected a weight for each event type"),
        ("--since=soon", "'since' is 'soon': expected an ISO date such as 2024-05-31"),
        ("--days=-1", "'days' is -1: input should be greater than or equal to 0"),
        ("--days=0.5", "'days' is '0.5': expected a whole number"),
    ],
)
def test_event_types_and_windows_that_are_refused(argument: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(EVENTS)
    with pytest.raises(InputError, match=re.escape(said)):
        preprocess(tmp_path, argument)
    assert not (tmp_path / "output").exists()
