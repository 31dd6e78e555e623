"""`python pipeline.py monitor`: its window, and what a user can mend."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pipeline
from components.local import account, monitor, release


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "so there is no endpoint; 'make aws' in another terminal is one"),
        (["--param=endpoint_name=shop"], "parameter 'endpoint_name' is given here as --endpoint"),
        (["--param=interactions_uri=x.csv"], "parameter 'interactions_uri' is given here as --interactions"),
        (["--param=max_psi=-1"], "'max_psi' is -1"),
        (["--param=epochs=1"], "'epochs' is not a parameter of the pipeline"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["monitor", f"--account={tmp_path}/aws", f"--output={tmp_path}/out", *flags])
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def arguments(endpoint: str = "shop", interactions: str = "", **given: Any) -> dict[str, Any]:
    return monitor._arguments(monitor.MonitorRequest(endpoint, interactions, Path("out"), given))


def test_the_window_ends_with_the_present_hour() -> None:
    since = datetime.fromisoformat(arguments(hours=2)["since"])
    assert 1 <= (datetime.now(UTC) - since).total_seconds() / 3600 < 2.1
    assert arguments(since="2026-05-04")["since"] == "2026-05-04"


def test_paths_are_those_of_this_folder() -> None:
    made = arguments(interactions="later.csv", capture_uri="s3://bucket/capture", reference_uri="")
    assert made["interactions_uri"] == str(Path("later.csv").resolve())
    assert (made["capture_uri"], made["reference_uri"]) == ("s3://bucket/capture", "")


def test_the_endpoint_is_that_of_releases() -> None:
    assert release.ENDPOINT == account.ENDPOINT
