"""The stand-in for KFP's API answers the client of the watcher as KFP does."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from components.local.kfp.api import KfpApi
from components.local.kfp.server import serving
from ncf.errors import InputError
from ncf.kfp_api.runs import NewRun, NotSubmittableError, Runs

PIPELINES = {"ncf": {"data_uri": False, "seed": True}, "ncf-release": {"package": True}}


@pytest.fixture
def api() -> KfpApi:
    return KfpApi(PIPELINES)


@pytest.fixture
def runs(api: KfpApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setenv("NCF_KFP_TOKEN", "sesame")
    with serving(api, "sesame") as host:
        yield Runs(host)


def test_a_run_is_created_listed_and_executed_in_order(api: KfpApi, runs: Runs) -> None:
    first = runs.create(NewRun("a", "ncf", "ncf", arguments={"data_uri": "s3://b/k"}))
    runs.create(NewRun("b", "ncf", "ncf-release"))
    (found,) = runs.find("ncf", "a")
    assert (found.id, found.state) == (first, "PENDING")
    assert runs.find("other", "a") == []
    accepted = api.accepted.get_nowait()
    assert (accepted.id, accepted.name, accepted.pipeline) == (first, "a", "ncf")
    assert accepted.arguments == {"data_uri": "s3://b/k"}
    assert api.accepted.get_nowait().name == "b"
    assert api.set_state(first, "SUCCEEDED")
    assert runs.find("ncf", "a")[0].has_ended


def test_a_run_that_is_terminated_before_its_start_is_not_started(api: KfpApi, runs: Runs) -> None:
    run_id = runs.create(NewRun("a", "ncf", "ncf-release"))
    runs.terminate(run_id)
    assert not api.set_state(run_id, "RUNNING")
    assert runs.find("ncf", "a")[0].has_ended


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (NewRun("a", "ncf", "unknown"), "there is no pipeline 'unknown'"),
        (NewRun("a", "ncf", "ncf", "2026-11"), "has no version '2026-11'"),
        (NewRun("a", "ncf", "ncf", arguments={"data_uri": "x", "sead": 1}), "parameter sead is not an input"),
        (NewRun("a", "ncf", "ncf"), "parameter data_uri of pipeline ncf has no default"),
    ],
)
def test_what_kfp_refuses(runs: Runs, run: NewRun, said: str) -> None:
    with pytest.raises(NotSubmittableError, match=said):
        runs.create(run)


def test_only_callers_with_the_token_are_answered(api: KfpApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCF_KFP_TOKEN", raising=False)
    with serving(api, "sesame") as host:
        with pytest.raises(InputError, match="401"):
            Runs(host).find("ncf", "a")
        request = urllib.request.Request(f"{host}/apis/v2beta1/runs", b"[]", {"Authorization": "Bearer sesame"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request, timeout=10)
        request = urllib.request.Request(f"{host}/apis/v2beta1/none", headers={"Authorization": "Bearer sesame"})
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request, timeout=10)
