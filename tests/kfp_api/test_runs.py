"""Runs are looked up and created over KFP's REST API, as its generated client speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_kfp import LOGIN_PAGE, FakeKfp, serving

from ncf.errors import InputError, RemoteError
from ncf.kfp_api import runs as module
from ncf.kfp_api import sending
from ncf.kfp_api.refusals import UnreachableError
from ncf.kfp_api.runs import NewRun, NotSubmittableError, Runs

RUN = NewRun("release ncf/3", "ncf", "ncf-release", arguments={"package": "ncf/3"}, pipeline_root="s3://bucket/root")


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCF_KFP_TOKEN", "NCF_KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def kfp() -> FakeKfp:
    """A KFP with a pipeline of one version."""
    fake = FakeKfp()
    fake.pipelines["pipeline-1"] = {"pipeline_id": "pipeline-1", "display_name": "ncf-release"}
    fake.versions["version-1"] = {"pipeline_version_id": "version-1", "display_name": "2026-11"}
    return fake


@pytest.fixture
def runs(kfp: FakeKfp) -> Iterator[Runs]:
    with serving(kfp) as host:
        yield Runs(host)


def test_a_run_is_found_after_its_creation_and_not_before(kfp: FakeKfp, runs: Runs) -> None:
    assert runs.find("ncf", RUN.name) == []
    run_id = runs.create(RUN)
    (found,) = runs.find("ncf", RUN.name)
    assert found.id == run_id
    assert found.created.tzinfo is not None
    assert not found.has_ended
    body = kfp.body("POST /runs")
    assert body["pipeline_version_reference"] == {"pipeline_id": "pipeline-1", "pipeline_version_id": "version-1"}
    assert body["runtime_config"] == {"parameters": {"package": "ncf/3"}, "pipeline_root": "s3://bucket/root"}
    assert kfp.queries("sort_by").count("created_at desc") == 1
    assert runs.find("ncf", "another") == runs.find("another", RUN.name) == []


def test_the_first_run_of_a_name_comes_first_and_the_others_end(kfp: FakeKfp, runs: Runs) -> None:
    ids = [runs.create(RUN) for _ in range(2)]
    kfp.runs[ids[0]]["created_at"] = "2099-01-01T00:00:00Z"
    first, second = runs.find("ncf", RUN.name)
    assert [first.id, second.id] == ids[::-1]
    runs.terminate(second.id)
    assert [run.has_ended for run in runs.find("ncf", RUN.name)] == [False, True]


def test_a_named_version(kfp: FakeKfp, runs: Runs) -> None:
    runs.create(NewRun("name", "ncf", "ncf-release", "2026-11"))
    with pytest.raises(NotSubmittableError, match="has no version '2026-12'"):
        runs.create(NewRun("name", "ncf", "ncf-release", "2026-12"))
    with pytest.raises(NotSubmittableError, match="there is no pipeline 'unknown'"):
        runs.create(NewRun("name", "ncf", "unknown"))
    kfp.versions.clear()
    with pytest.raises(NotSubmittableError, match="has no version; 'pipeline.py upload"):
        runs.create(RUN)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, NotSubmittableError),
        (404, NotSubmittableError),
        (429, RemoteError),
        (500, RemoteError),
        (503, RemoteError),
    ],
)
def test_what_is_never_valid_differs_from_what_may_be_tried_again(
    kfp: FakeKfp, runs: Runs, status: int, kind: type[Exception]
) -> None:
    kfp.refuses = (status, {"code": 3, "message": "Invalid input error: packages is not a parameter"})
    with pytest.raises(kind, match="packages is not a parameter"):
        runs.create(RUN)


def test_a_caller_without_a_login_is_no_fault_of_the_run(kfp: FakeKfp) -> None:
    with (
        serving(kfp, lambda _headers, path: (401, {}, b"Jwt is missing") if "/runs" in path else None) as host,
        pytest.raises(InputError) as raised,
    ):
        Runs(host).create(RUN)
    assert not isinstance(raised.value, NotSubmittableError)


def test_a_login_page_is_no_answer(kfp: FakeKfp) -> None:
    with (
        serving(kfp, lambda *_: (200, {"Content-Type": "text/html"}, LOGIN_PAGE)) as host,
        pytest.raises(InputError, match="answers with a web page"),
    ):
        Runs(host).find("ncf", "name")


@pytest.mark.parametrize("body", [b'{"pipelines": [{"pipeline_id": "a"', b"[]", b"{" + b"[" * 100_000])
def test_an_answer_that_is_cut_off_is_no_answer(kfp: FakeKfp, body: bytes) -> None:
    """Otherwise a run would not be found that exists, and its message would be buried, as there is no pipeline."""
    with serving(kfp, lambda *_: (200, {"Content-Type": "application/json"}, body)) as host:
        with pytest.raises(InputError, match="answers, but not like KFP"):
            Runs(host).find("ncf", RUN.name)
        with pytest.raises(InputError, match="answers, but not like KFP") as raised:
            Runs(host).create(RUN)
    assert not isinstance(raised.value, NotSubmittableError)


def test_the_token_is_read_for_each_request(kfp: FakeKfp, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with serving(kfp) as host:
        token.write_text("first")
        runs = Runs(host, token=str(token))
        runs.find("ncf", "name")
        token.write_text("second")
        runs.find("ncf", "name")
    sent = [headers.get("authorization") for headers in kfp.headers]
    assert sent[0] == "Bearer first"
    assert sent[-1] == "Bearer second"


def test_the_pod_s_token_is_for_its_cluster_alone(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("projected")
    monkeypatch.setattr(module, "POD_TOKEN", str(token))
    with serving(kfp) as host:
        Runs(host).find("ncf", "name")
        assert "authorization" not in kfp.headers[-1]
        monkeypatch.setattr(module, "IN_CLUSTER", host)
        Runs(host).find("ncf", "name")
        assert kfp.headers[-1]["authorization"] == "Bearer projected"


def test_a_multi_user_cluster_needs_a_namespace(kfp: FakeKfp) -> None:
    kfp.multi_user = True
    with serving(kfp) as host:
        with pytest.raises(InputError, match="namespace: this KFP is multi-user"):
            Runs(host).find("ncf", "name")
        Runs(host, "my-profile").create(RUN)
    assert next(iter(kfp.experiments.values()))["namespace"] == "my-profile"
    assert "my-profile" in kfp.queries("namespace")


def test_an_unreachable_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SECONDS", (0.2, 0.2))
    with pytest.raises(UnreachableError):
        Runs("http://127.0.0.1:9").find("ncf", "name")
