"""`python pipeline.py release` where there is nothing to release."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline
from components.local import release
from components.local.run import with_local_endpoint


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "so there is no package to release; 'make aws' in another terminal is one"),
        (["--param=package=ncf/1"], "parameter 'package' is given here as --package"),
        (["--param=registry_group=no group"], "expected the name of a model package group"),
        (["--param=traffic_shift=some"], "'traffic_shift' is 'some'"),
        (["--param=epochs=1"], "'epochs' is not a parameter of the pipeline"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["release", f"--account={tmp_path}/aws", f"--output={tmp_path}/out", *flags])
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_bake_time_is_short_unless_it_is_given() -> None:
    assert with_local_endpoint({"seed": 1}) == {"seed": 1, "deploy_overrides": {"bake_time": 2}}
    given = {"deploy_overrides": {"bake_time": 60, "traffic_shift": "canary"}}
    assert with_local_endpoint(given) == given


def test_the_default_endpoint_is_one_that_the_pods_role_allows() -> None:
    assert release.ENDPOINT.startswith("ncf")
