"""Check of the KFP API: token and cookies, login pages, timeouts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from doctor_output import examined, failure
from fake_account import LOGIN_PAGE, Account
from fake_account import kfp as kfp_api

from ncf.operators.checks import kfp
from ncf.operators.checks.check import FailedError


def test_kfp_of_old(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp_api(lambda path: (200, "{}") if "v1beta1" in path else (404, "")) as (host, asked):
        assert examined(capsys, kfp_host=host)["kfp"] == ("ok", f"{host} answers at /apis/v1beta1/healthz")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, LOGIN_PAGE, ["login required (401)", "kubectl port-forward"]),
        (403, "RBAC: access denied", ["access is denied (403)", "namespace's profile"]),
        (404, "", ["there is no KFP API (404)", "/pipeline"]),
        (503, "", ["HTTP status 503", "kubectl get pods"]),
        (200, LOGIN_PAGE, ["a web page answers", "login", "kubectl port-forward"]),
    ],
)
def test_kfp_that_does_not_answer_as_it_should(
    account: Account, capsys: pytest.CaptureFixture[str], status: int, body: str, words: list[str]
) -> None:
    with kfp_api(lambda _: (status, body)) as (host, _):
        finding = failure(capsys, "kfp", kfp_host=host)
    assert [word for word in words if word not in finding] == []


def test_a_redirect_to_a_login_page(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp_api(lambda path: (200, LOGIN_PAGE) if path == "/dex/auth" else (302, "/dex/auth")) as (host, _):
        assert f"a web page answers ({host}/dex/auth)" in failure(capsys, "kfp", kfp_host=host)


def test_no_kfp_at_all(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp_api(lambda _: (200, "")) as (host, _):
        pass
    finding = failure(capsys, "kfp", kfp_host=host)
    assert "nothing listens there" in finding
    assert "kubectl port-forward" in finding


def test_kfp_that_is_silent(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfp, "_TIMEOUT_SECONDS", 0.05)
    release = threading.Event()
    with kfp_api(lambda _: (200, "{}") if release.wait(5) else (500, "")) as (host, _):
        finding = failure(capsys, "kfp", kfp_host=host)
        release.set()
    assert "a firewall may block it" in finding


def test_the_api_is_asked_with_token_and_cookies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    seen: list[Any] = []
    original = kfp.urlopen
    monkeypatch.setattr(kfp, "urlopen", lambda request, **options: seen.append(request) or original(request, **options))
    (tmp_path / "token").write_text("sesame\n")
    (tmp_path / "cookie").write_text("a=1\nb=2\n")
    with kfp_api(lambda _: (200, "{}")) as (host, _):
        kfp.check(host, f"{tmp_path}/token", f"{tmp_path}/cookie").run()
    sent = seen[0].unredirected_hdrs  # and in no others, which a log-in's host would get
    assert (sent["Authorization"], sent["Cookie"], seen[0].headers) == ("Bearer sesame", "a=1; b=2", {})


def test_a_token_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NCF_KFP_TOKEN", "old")
    with (
        kfp_api(lambda _: (401, LOGIN_PAGE)) as (host, _),
        pytest.raises(FailedError, match="rejected, or has expired"),
    ):
        kfp.check(host).run()


def test_a_token_that_cannot_be_read_fails_the_check(tmp_path: Path) -> None:
    verdict, finding = kfp.check("http://localhost:1", f"{tmp_path}/none").result(has_credentials=False)
    assert verdict == "FAILED"
    assert "token: the file cannot be read" in finding
