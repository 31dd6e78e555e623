"""kfp's client reaches the API through what clusters put before it, or says what to do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from certificates import server_context
from fake_kfp import LOGIN_PAGE, FakeKfp, Gate, serving

from components.cluster import client
from ncf.kfp_api import sending

Run = Callable[..., tuple[int, str, str]]
COGNITO = ("AWSELBAuthSessionCookie-0", "AWSELBAuthSessionCookie-1")
MULTI_USER = Path(__file__).parents[3] / "shared" / "kfp" / "backend" / "18-multi-user" / "answers.txt"
LOGIN_URL = "/dex/auth?client_id=kubeflow&state=secret"
NO_USER = (
    "List experiments failed: Failed to authorize with API: Failed to authorize with API: Unauthenticated: Failed to "
    "check authorization. User identity is empty in the request header: Unauthenticated: Request header error: there is "
    "no user identity header."
)
NO_NAMESPACE = (
    "List experiments failed: Failed to authorize with API: Invalid input error: An experiment cannot have an empty "
    "namespace in multi-user mode"
)


def asks_for_token(headers: Mapping[str, str], _: str) -> tuple[int, dict[str, str], bytes] | None:
    return None if headers.get("Authorization") == "Bearer sesame" else (401, {}, b"Jwt is missing")


def asks_for_cookies(*names: str) -> Gate:
    """A gateway that redirects to a log-in page until all these cookies come in one header."""

    def gate(headers: Mapping[str, str], path: str) -> tuple[int, dict[str, str], bytes] | None:
        if path.startswith("/dex"):
            return 200, {"Content-Type": "text/html"}, LOGIN_PAGE
        cookies = dict(part.split("=", 1) for part in (headers.get("Cookie") or "").split("; ") if part)
        return None if set(names) <= cookies.keys() else (302, {"Location": LOGIN_URL}, b"")

    return gate


def answers(status: int, body: bytes, kind: str = "text/html", only: str = "") -> Gate:
    """Something that answers instead of the API, at all paths or at one."""
    return lambda _, path: (status, {"Content-Type": kind}, body) if only in path else None


@pytest.mark.parametrize("from_file", [True, False])
def test_a_token(
    run: Run, required: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_file: bool
) -> None:
    kfp, flags = FakeKfp(), []
    if from_file:
        (tmp_path / "token").write_text("Bearer sesame\n")
        flags = [f"--token={tmp_path}/token"]
    else:
        monkeypatch.setenv("NCF_KFP_TOKEN", "sesame")
    with serving(kfp, asks_for_token) as host:
        assert run("submit", f"--host={host}", *flags, *required)[:2] == (0, "run-1\n")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["authservice_session"], "authservice_session=MTY=\n"),
        (["oauth2_proxy_kubeflow"], "Cookie: other=1; oauth2_proxy_kubeflow=abc|1|x=="),
        (COGNITO, f"{COGNITO[0]}=first\n{COGNITO[1]}=second\n"),
        (COGNITO, f"{COGNITO[0]}=first; {COGNITO[1]}=second"),
    ],
)
@pytest.mark.parametrize("from_file", [True, False])
def test_cookies_of_a_session(
    run: Run,
    required: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    text: str,
    from_file: bool,
) -> None:
    kfp, flags = FakeKfp(), []
    if from_file:
        (tmp_path / "cookie").write_text(text)
        flags = [f"--cookie={tmp_path}/cookie"]
    else:
        monkeypatch.setenv("NCF_KFP_COOKIE", text)
    with serving(kfp, asks_for_cookies(*names)) as host:
        assert run("submit", f"--host={host}", *flags, *required)[:2] == (0, "run-1\n")


def test_one_of_two_cookies_is_too_few(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCF_KFP_COOKIE", f"{COGNITO[0]}=first")
    with serving(FakeKfp(), asks_for_cookies(*COGNITO)) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert "the token or cookie is not accepted, or has expired" in err


def test_an_authority_of_ones_own(
    run: Run, required: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, ca_cert = server_context(tmp_path)
    with serving(FakeKfp(), tls=context) as host:
        code, out, err = run("submit", f"--host={host}", *required)
        assert (code, out) == (2, "")
        assert "CERTIFICATE_VERIFY_FAILED" in err
        assert "--ca-cert FILE" in err
        assert run("submit", f"--host={host}", f"--ca-cert={ca_cert}", *required)[:2] == (0, "run-1\n")
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_cert))
        assert run("submit", f"--host={host}", *required)[:2] == (0, "run-2\n")


@pytest.mark.parametrize("command", ["submit", "upload", "schedule"])
def test_a_redirect_to_a_log_in_starts_nothing_and_says_so(run: Run, required: list[str], command: str) -> None:
    kfp = FakeKfp()
    given = {"submit": required, "upload": [], "schedule": ["--interval=6h", *required]}[command]
    with serving(kfp, asks_for_cookies("session")) as host:
        code, out, err = run(command, f"--host={host}", *given)
    assert (code, out, kfp.asked) == (2, "", [])
    assert f"host: '{host}' redirects to '/dex/auth', which the API does not do" in err
    assert "secret" not in err
    assert [word for word in ("--token FILE", "--cookie FILE", "kubectl port-forward") if word not in err] == []
    assert err.count("\n") == 1


def test_a_login_s_host_does_not_get_the_token(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCF_KFP_TOKEN", "sesame")
    elsewhere = FakeKfp()
    with serving(elsewhere) as login, serving(FakeKfp(), lambda *_: (307, {"Location": f"{login}/x"}, b"")) as host:
        code, _, err = run("submit", f"--host={host}", *required)
    assert (code, elsewhere.headers) == (2, [])
    assert f"redirects to '{login}/x'" in err


def test_a_redirect_to_https_names_it(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(), lambda *_: (301, {"Location": "https://127.0.0.1/apis/v2beta1/healthz"}, b"")) as host:
        assert "give --host https://127.0.0.1" in run("submit", f"--host={host}", *required)[2]


@pytest.mark.parametrize("status", [200, 401, 403])
def test_a_page_is_no_api(run: Run, required: list[str], status: int) -> None:
    with serving(FakeKfp(), answers(status, LOGIN_PAGE)) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert "answers with a web page instead of the API's JSON: most likely a login page" in err
    assert "--token FILE" in err


def test_a_page_in_another_encoding_is_no_api(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(), answers(200, "<html>Anmeldung für SSO".encode("latin-1"))) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert "answers with a web page" in err


def test_a_password_in_the_host_is_not_shown(run: Run, required: list[str]) -> None:
    code, out, err = run("submit", "--host=http://me:sesame@localhost:1", *required)
    assert code == 2
    assert "sesame" not in out + err
    assert "expected a URL without" in err


def test_ctrl_c_claims_nothing(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("components.cluster.commands.Api", interrupted)
    code, _, err = run("submit", "--host=http://localhost:1", *required)
    assert code == 130
    assert "the cluster may have accepted the request" in err


@pytest.mark.parametrize(
    ("body", "only"), [(b"{}", "/runs"), (b"{}", "/experiments"), (b"[]", "/runs"), (b"null", "/runs"), (b"ok", "/")]
)
def test_nothing_is_reported_without_an_id(run: Run, required: list[str], body: bytes, only: str) -> None:
    with serving(FakeKfp(), answers(200, body, "application/json", only)) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert f"host: '{host}' answers, but" in err
    assert "expected the URL of the KFP API" in err


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b'{"error":"Not Found","code":5,"message":"Not Found"}', "ends in /pipeline"),
        (404, b"404 page not found", "Kubeflow 1.7, before 2.0.0-beta.1, has no such API"),
        (403, b"RBAC: access denied\nfor you", "answered 403 Forbidden: RBAC: access denied for you; add your user"),
        (401, b"\xff\xfe no text", "the request has no user; give --token FILE"),
    ],
)
def test_refusals_say_what_to_do(run: Run, required: list[str], status: int, body: bytes, words: str) -> None:
    with serving(FakeKfp(), answers(status, body, "text/plain")) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_server_that_fails_is_exit_1(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(), answers(500, b'{"message":"database is gone"}')) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (1, "")
    assert "answered 500 Internal Server Error: database is gone" in err


def test_a_host_that_is_not_there(run: Run, required: list[str]) -> None:
    code, _, err = run("submit", "--host=http://localhost:1", *required)
    assert code == 2
    assert "host: 'http://localhost:1' cannot be reached" in err


def test_a_host_that_is_silent(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SECONDS", (1, 0.05))
    release = threading.Event()
    with serving(FakeKfp(), lambda *_: (200, {}, b"{}") if release.wait(5) else None) as host:
        code, _, err = run("submit", f"--host={host}", *required)
        release.set()
    assert code == 1
    assert "does not answer" in err


@pytest.mark.parametrize("host", ["localhost:8888", "http://", "https://a/?ns=b", "https://a/_/pipeline/#/runs", "a b"])
def test_what_is_no_host(run: Run, required: list[str], host: str) -> None:
    code, _, err = run("submit", f"--host={host}", *required)
    assert code == 2
    assert f"host: '{host}' is not the URL of an API" in err


def test_outside_of_a_pod_a_host_is_needed(run: Run, required: list[str]) -> None:
    code, out, err = run("submit", *required)
    assert (code, out) == (2, "")
    assert "host: none is given" in err
    assert "kubectl port-forward" in err


def test_in_a_pod_its_projected_token_and_namespace_are_used(
    run: Run, required: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("sesame")
    (tmp_path / "namespace").write_text("team")
    kfp = FakeKfp(multi_user=True)
    with serving(kfp, asks_for_token) as host:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(client, "_POD_NAMESPACE", tmp_path / "namespace")
        monkeypatch.setattr(client.kfp.Client, "_IN_CLUSTER_DNS_NAME", host.removeprefix("http://"))
        assert run("submit", *required)[:2] == (0, "run-1\n")
        assert kfp.body("POST /experiments")["namespace"] == "team"
        code, _, err = run("submit", f"--host={host}", *required)
    assert code == 2, "the cluster's token goes to no other host"
    assert "the request has no user; a notebook made with 'Allow access to Kubeflow Pipelines' has a token" in err


def test_in_a_pod_the_service_is_kfps_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client._host("", in_pod=True) == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://elsewhere:8888/")
    assert client._host("", in_pod=False) == "http://elsewhere:8888"


@pytest.mark.parametrize(
    ("flag", "content", "said"),
    [
        ("token", None, "token: the file cannot be read (No such file or directory)"),
        ("token", "", "token: the file is empty"),
        ("token", "two words", "token: the file holds no token"),
        ("cookie", None, "cookie: the file cannot be read"),
        ("cookie", "no pair", "cookie: the file holds no cookies; expected NAME=VALUE"),
        ("cookie", ";", "cookie: the file holds no cookies"),
        ("ca-cert", None, "ca_cert: '"),
        ("ca-cert", "no certificate", "expected a file of certificates in PEM form"),
    ],
)
def test_files_that_hold_nothing_of_use(
    run: Run, required: list[str], tmp_path: Path, flag: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "given").write_text(content)
    code, _, err = run("submit", "--host=http://localhost:1", f"--{flag}={tmp_path}/given", *required)
    assert code == 2
    assert said in err


def test_a_secret_on_the_command_line_is_not_repeated(run: Run, required: list[str]) -> None:
    code, out, err = run("submit", "--host=http://localhost:1", "--token=eyJhbGciOiJSUzI1NiJ9", *required)
    assert code == 2
    assert "eyJ" not in out + err
    assert "or the token itself in NCF_KFP_TOKEN" in err


def test_a_multi_user_cluster_wants_a_namespace(run: Run, required: list[str]) -> None:
    kfp = FakeKfp(multi_user=True)
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", *required)
        assert (code, out) == (2, "")
        assert "expected --namespace" in err
        assert run("submit", f"--host={host}", "--namespace=team", *required)[0] == 0
    assert kfp.queries("namespace")[0] == "team"


@pytest.mark.parametrize("multi_user", [False, None])
def test_a_namespace_that_is_ignored_is_said(run: Run, required: list[str], multi_user: bool | None) -> None:
    kfp = FakeKfp(multi_user=multi_user)
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", "--namespace=team", *required)
    assert (code, out) == (0, "run-1\n")
    assert err.startswith("ncf: warning: namespace 'team' is ignored: this KFP is for a single user")
    assert not kfp.body("POST /experiments")["namespace"]


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [(401, NO_USER, "the request has no user; give --token FILE"), (400, NO_NAMESPACE, "give --namespace")],
)
def test_a_multi_user_api_without_a_user_or_namespace(
    run: Run, required: list[str], status: int, message: str, advice: str
) -> None:
    body = f'{{"code":16, "message":"{message}", "details":[]}}'.encode()
    with serving(FakeKfp(), answers(status, body, "application/json", "/experiments")) as host:
        code, out, err = run("submit", f"--host={host}", *required)
    assert (code, out) == (2, "")
    assert f"answered {status} " in err
    assert advice in err


def test_what_a_real_multi_user_api_answers(run: Run, required: list[str]) -> None:
    if not MULTI_USER.is_file():
        pytest.skip(f"answers of a real api-server are not at {MULTI_USER}")
    real = re.findall(r"answered (\d+) [\w ]+: (\{.*)", MULTI_USER.read_text())
    assert [status for status, _ in real] == ["401", "400"]
    for (status, body), advice in zip(real, ("the request has no user; give --token", "give --namespace"), strict=True):
        gate = answers(int(status), body.encode(), "application/json", "/experiments")
        with serving(FakeKfp(), gate) as host:
            code, out, err = run("submit", f"--host={host}", *required)
        assert (code, out) == (2, "")
        assert advice in err
