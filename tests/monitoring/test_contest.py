"""The variants of an experiment beside each other, from captured records and later interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from captured import START, line, of_user, window

from ncf.api.assignment import is_challenged
from ncf.evaluation.always_valid import LEAST_HITS
from ncf.monitoring.contest import Contest, FirstDays, Variants
from ncf.monitoring.interactions import LaterInteractions, ReadAs

HOUR = 3600.0
VARIANTS = Variants("shop-ab-1", "AllTraffic", "Challenger", 0.5, window(24 * 10))
USERS = [f"u{number}" for number in range(600)]


def later(folder: Path, users: Sequence[str]) -> LaterInteractions:
    """Interactions of users with item i1, an hour after the start; a last one, of nobody, is twenty days later."""
    start, path = int(START.timestamp()), folder / "later.csv"
    rows = [f"{user},i1,{start + 3600}" for user in users]
    path.write_text("\n".join(["user,item,timestamp", *rows, f"nobody,i0,{start + 20 * 24 * 3600}"]) + "\n")
    return LaterInteractions.read(path, window(24 * 10), ReadAs())


def contest(folder: Path, good: str, variants: Variants = VARIANTS) -> Contest:
    """A contest in which a half of the users want i1, which one variant shows: 'AllTraffic', 'Challenger' or 'both'."""
    days = FirstDays(variants, later(folder, USERS[::2]), 2 * HOUR)
    lines = []
    for user in USERS:
        variant = variants.of(user)
        items = ["i1"] if good in (variant, "both") else ["i2"]
        lines.append(line(of_user(user, items, 60.0), variant))
    days.read(lines)
    return days.contest()


@pytest.mark.parametrize(("good", "said"), [("AllTraffic", "worse"), ("Challenger", "better"), ("both", "not yet")])
def test_the_verdict(good: str, said: str, tmp_path: Path) -> None:
    found = contest(tmp_path, good)
    assert found.verdict == said
    assert sum(found.users.values()) == len(USERS)
    assert found.difference
    assert found.difference.mean == pytest.approx({"worse": -0.5, "better": 0.5, "not yet": 0.0}[said], abs=0.07)
    assert found.days == ["2026-05-04"]
    assert found.content()["verdict"] == said


def test_a_challenger_without_lists_for_some_users_is_not_compared_by_the_others(tmp_path: Path) -> None:
    days = FirstDays(VARIANTS, later(tmp_path, USERS), 2 * HOUR)
    for number, user in enumerate(USERS):
        variant = VARIANTS.of(user)
        items = [] if variant == VARIANTS.challenger and number % 2 else ["i1"]
        days.read([line(of_user(user, items, 60.0), variant)])
    found = days.contest()
    assert sum(found.users.values()) == len(USERS)
    assert found.verdict == "worse"


def test_users_of_the_other_variant_do_not_count(tmp_path: Path) -> None:
    days = FirstDays(VARIANTS, later(tmp_path, ["u1"]), 2 * HOUR)
    other = "AllTraffic" if is_challenged("u1", "shop-ab-1", 0.5) else "Challenger"
    days.read([line(of_user("u1", ["i1"]), other), line(of_user("u1", ["i1"]), "Shadow")])
    found = days.contest()
    assert found.misrouted == 1
    assert not any(found.users.values())
    assert found.difference is None
    assert found.verdict == "not yet"
    assert found.described() == "too few users for a comparison"


def test_the_first_day_of_a_user_counts_in_whatever_order_files_are(tmp_path: Path) -> None:
    day = 24 * HOUR
    records = [
        of_user("u1", ["i2"], 3 * day),
        of_user("u1", ["i1"], 60.0),
        of_user("u1", ["i2"], 120.0),
        of_user("u1", ["i2"], 2 * day),
    ]
    days = FirstDays(VARIANTS, later(tmp_path, ["u1"]), 2 * HOUR)
    days.read([line(record, VARIANTS.of("u1")) for record in records])
    found = days.contest()
    assert found.hit[VARIANTS.of("u1")] == 0.5, "one of the two lists of the first day"
    assert found.days == ["2026-05-04"]


def test_what_has_no_outcome_yet_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    days = FirstDays(VARIANTS, later(tmp_path, ["u1"]), 30 * 24 * HOUR)
    days.read([line(of_user("u1", ["i1"]), VARIANTS.of("u1")), replace(line({}, "AllTraffic"), content=b"{")])
    assert days.contest().too_recent == 1
    before = FirstDays(VARIANTS, later(tmp_path, ["u1"]), HOUR)
    before.read([line(of_user("u1", ["i1"], -60.0), VARIANTS.of("u1"))])
    assert not any(before.contest().users.values()), "before the experiment"


def test_each_day_is_a_look(tmp_path: Path) -> None:
    days = FirstDays(VARIANTS, later(tmp_path, USERS), 2 * HOUR)
    day = 24 * HOUR
    days.read([line(of_user(user, ["i1"], (n % 4) * day), VARIANTS.of(user)) for n, user in enumerate(USERS)])
    found = days.contest()
    assert len(found.days) == len(found.looks) == 4
    assert found.days[0] == "2026-05-04"
    assert found.looks[0] is not None
    assert len(USERS) / 4 > 2 * LEAST_HITS
