"""Later interactions, and what became of the lists that were shown."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from captured import START, line, observed, of_user, population, window

from ncf.errors import InputError
from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.interactions import LaterInteractions, ReadAs
from ncf.monitoring.outcomes import DayOutcomes, Outcomes

KNOWN = population({"u1": 5, "u2": 5}, {f"i{item}": 2 for item in range(20)})
HOUR = 3600.0


def interactions(
    folder: Path, *rows: tuple[str, str, float], header: str = "user,item,timestamp", **given: object
) -> LaterInteractions:
    """Interactions at seconds after the start of the window; a last one, of nobody, is two days later."""
    path = folder / "later.csv"
    lines = [header, *(f"{user},{item},{int(START.timestamp() + seconds)}" for user, item, seconds in rows)]
    if header == "user,item,timestamp":
        lines.append(f"nobody,i0,{int(START.timestamp() + 48 * HOUR)}")
    path.write_text("\n".join(lines) + "\n")
    return LaterInteractions.read(path, window(), ReadAs.model_validate(given))


def days(
    later: LaterInteractions, *records: dict[str, object], variant: str = "AllTraffic", horizon: int = 2
) -> list[DayOutcomes]:
    outcomes = Outcomes(later, UserNumbers(KNOWN.users.index), horizon)
    observed(KNOWN, [line(one, variant) for one in records], outcomes)
    return list(outcomes.daily())


def test_a_hit_lies_within_the_horizon_and_after_the_list(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i1", 0.0), ("u1", "i2", HOUR), ("u1", "i3", 4 * HOUR), ("u2", "i1", HOUR))
    shown = {"before": ["i1"], "within": ["i2"], "later": ["i3"], "of another": ["i9"]}
    for name, items in shown.items():
        (day,) = days(later, of_user("u1", items, 60.0))
        assert day.hit.tolist() == [float(name == "within")], name
    assert (day.variant, day.day, day.lists.tolist(), day.users.tolist()) == ("AllTraffic", "2026-05-04", [1], [0])


def test_the_figures_by_hand(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i3", HOUR), ("u1", "i7", HOUR), ("u1", "i3", HOUR + 1))
    (day,) = days(later, of_user("u1", ["i1", "i3"], 60.0), of_user("u1", ["i5"], 120.0), of_user("new", ["i3"], 60.0))
    assert day.lists.tolist() == [2, 1]
    assert day.hit.tolist() == [0.5, 0]
    ideal = 1 + 1 / math.log2(3)
    assert day.ndcg == pytest.approx([1 / math.log2(3) / ideal / 2, 0])


def test_only_the_first_ten_items_count(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i11", HOUR))
    (day,) = days(later, of_user("u1", [f"i{item}" for item in range(1, 13)], 60.0))
    assert day.hit.tolist() == [0]


def test_variants_and_days_are_apart(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i1", HOUR))
    outcomes = Outcomes(later, UserNumbers(KNOWN.users.index), 2)
    records = [line(of_user(user, ["i1"]), variant) for variant in ("B", "A") for user in ("u1", "u2")]
    observed(KNOWN, records, outcomes)
    found = list(outcomes.daily())
    assert [(day.variant, day.hit.tolist(), day.users.tolist()) for day in found] == [
        ("A", [1, 0], [0, 1]),
        ("B", [1, 0], [0, 1]),
    ]


def test_a_list_whose_horizon_has_not_passed_does_not_count(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i1", HOUR))
    outcomes = Outcomes(later, UserNumbers(KNOWN.users.index), 48)
    observed(KNOWN, [line(of_user("u1", ["i1"], seconds)) for seconds in (0.0, 1.0, 2.0)], outcomes)
    assert outcomes.too_recent == 2
    assert [day.lists.tolist() for day in outcomes.daily()] == [[1]]


def test_interactions_are_read_as_the_training_data_were(tmp_path: Path) -> None:
    rows = [("u1", "i1", 1.0), ("u2", "i2", 2.0)]
    (tmp_path / "a").mkdir()
    named = interactions(
        tmp_path / "a", *rows, header="buyer,sku,at", user_column="buyer", item_column="sku", timestamp_column="at"
    )
    assert sorted(named.users) == ["u1", "u2"]
    (tmp_path / "b").mkdir()
    path = tmp_path / "b" / "events.csv"
    start = int(START.timestamp())
    path.write_text(
        "user,item,rating,event_type,timestamp\n"
        f"u1,i1,5,view,{start}\nu1,i2,5,buy,{start}\nu2,i3,2,buy,{start}\nu2,i4,5,other,{start}\nu2,i4,5,buy,{start - 1}\n"
    )
    settings = ReadAs(min_rating=4, event_weights={"view": 0, "buy": 1, "*": 1})
    read = LaterInteractions.read(path, window(), settings)
    assert sorted(read.item.tolist()) == [read.items["i2"], read.items["i4"]], (
        "a rating too low, a weight of 0, too early"
    )
    assert read.events is not None
    assert dict(zip(read.events.labels, read.events.counts)) == {"buy": 2, "view": 1, "other types": 1}
    assert ReadAs.of(population({"u": 1}, {"i": 1}, min_rating=4.0, seed=3)).min_rating == 4
    with pytest.raises(InputError, match="parameter 'min_rating' of its data set"):
        ReadAs.of(population({"u": 1}, {"i": 1}, min_rating="high"))


def test_distributions_of_the_interactions_in_the_window(tmp_path: Path) -> None:
    later = interactions(tmp_path, ("u1", "i1", 1.0), ("u2", "i1", 2.0), ("new", "i99", 3.0), ("u1", "i2", 30 * HOUR))
    found = later.histograms(window(), KNOWN)
    assert found["interacting_users"].counts[-1] == 1
    assert found["interacting_users"].total == found["interacted_items"].total == 3
    assert found["interacted_items"].counts[-1] == 1
    assert found["interacted_items"].effective == 3
    assert "events" not in found


def test_interactions_without_times_or_after_the_window_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("user,item\nu1,i1\n")
    with pytest.raises(InputError, match=r"plain\.csv: later interactions are matched by their times"):
        LaterInteractions.read(path, window(), ReadAs())
    path.write_text(f"user,item,timestamp\nu1,i1,{datetime(2020, 1, 1, tzinfo=UTC).timestamp():.0f}\n")
    with pytest.raises(InputError, match="no interaction is of 2026-05-04"):
        LaterInteractions.read(path, window(), ReadAs())


def test_unknown_users_share_buckets_of_a_fixed_number() -> None:
    numbers = UserNumbers({"u1": 0})
    found = np.array([numbers.of(f"new{user}") for user in range(1000)])
    assert found.min() >= 1
    assert found.max() < numbers.size
    assert numbers.of("\ud800") >= 1
    assert numbers.of("u1") == 0
