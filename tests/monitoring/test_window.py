"""The window of a run is stable, and its folders are those of SageMaker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ncf.errors import InputError
from ncf.monitoring.window import Window

NOW = datetime(2026, 5, 6, 7, 30, tzinfo=UTC)


def test_without_a_start_it_is_the_latest_complete_one() -> None:
    found = Window.of("", 24, NOW)
    assert str(found) == "2026-05-05 00:00 to 2026-05-06 00:00 UTC"
    assert found.id == "2026-05-05T00:00:00Z-24h"
    assert Window.of("", 24, NOW + timedelta(hours=10)) == found, "a retry"
    assert Window.of("", 6, NOW).id == "2026-05-06T00:00:00Z-6h"


def test_a_delay_leaves_time_for_the_horizon() -> None:
    assert Window.of("", 24, NOW, delay_hours=24).id == "2026-05-04T00:00:00Z-24h"
    assert Window.of("", 24, NOW, delay_hours=7).id == "2026-05-05T00:00:00Z-24h"


def test_a_given_start() -> None:
    assert Window.of("2026-05-04", 24, NOW).id == "2026-05-04T00:00:00Z-24h"
    assert Window.of("2026-05-04T12:30+02:00", 2, NOW).id == "2026-05-04T10:30:00Z-2h"
    assert Window.of("1777852800", 1, NOW).start == datetime(2026, 5, 4, tzinfo=UTC)
    with pytest.raises(InputError, match="'since' is '2027-01-01', which is in the future"):
        Window.of("2027-01-01", 1, NOW)


@pytest.mark.parametrize("since", ["-99999999999999", "-62135596801"])
def test_a_start_before_the_year_1_is_refused(since: str) -> None:
    with pytest.raises(InputError, match=f"'since' is '{since}'.*; expected a time of the past"):
        Window.of(since, 24, NOW)


def test_the_folders_of_all_hours_that_it_touches() -> None:
    assert list(Window.of("2026-05-04T22:30", 2, NOW).folders()) == ["2026/05/04/22", "2026/05/04/23", "2026/05/05/00"]
    assert len(list(Window.of("2026-05-04", 24, NOW).folders())) == 24
