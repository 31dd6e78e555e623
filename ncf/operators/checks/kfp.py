"""Check of the Kubeflow Pipelines (KFP) API: it answers at the given URL."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ncf import kfp_access
from ncf.operators.checks.check import Check, FailedError

_PATHS = ("/apis/v2beta1/healthz", "/apis/v1beta1/healthz")
_TIMEOUT_SECONDS, _MAX_BYTES = 10.0, 65_536
_FORWARD = kfp_access.port_forward("--kfp-host")
_LIST_PODS = "'kubectl get pods -n kubeflow' shows whether KFP runs"
_ADVICE: Mapping[type[OSError], str] = {
    ConnectionRefusedError: f"nothing listens there; to forward the API to this machine: {_FORWARD}",
    socket.gaierror: "check the name in --kfp-host, and whether it resolves without a VPN",
    ssl.SSLError: "if the certificate is your own, SSL_CERT_FILE=CA.pem makes it known",
    TimeoutError: f"a firewall may block it; to bypass the firewall: {_FORWARD}",
}


class _OtherServiceError(FailedError):
    """A service other than the KFP API answered."""


def check(host: str, token_file: str = "", cookie_file: str = "") -> Check:
    """The check of the KFP API.

    Args:
        host: URL of the API.
        token_file: file with a bearer token; '': the environment's, or none.
        cookie_file: file with cookies; '': the environment's, or none.
    """
    return Check("kfp", lambda: _check(host, token_file, cookie_file), needs_credentials=False)


def _check(host: str, token_file: str, cookie_file: str) -> str:
    """
    Raises:
        FailedError: if the API does not answer, or another service does.
        InputError: if the token or the cookies cannot be read.
    """
    headers = _login_headers(token_file, cookie_file)
    errors = []
    for path in _PATHS:
        try:
            _request(f"{host}{path}", headers)
            return f"{host} answers at {path}"
        except _OtherServiceError as error:
            errors.append(error)
    raise errors[0]


def _login_headers(token_file: str, cookie_file: str) -> dict[str, str]:
    headers = {}
    if token := kfp_access.token(token_file):
        headers["Authorization"] = f"Bearer {token}"
    if cookie := kfp_access.cookie(cookie_file):
        headers["Cookie"] = cookie
    return headers


def _request(url: str, headers: Mapping[str, str]) -> None:
    """
    Raises:
        FailedError: if the answer is not JSON with status 200.
    """
    request = Request(url)
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # not sent to the host of a login page
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            body, final_url = answer.read(_MAX_BYTES), answer.url
    except HTTPError as error:
        raise _http_failure(url, error.code, bool(headers)) from None
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        advice = next((text for kind, text in _ADVICE.items() if isinstance(cause, kind)), "")
        raise FailedError(f"{url}: {cause}; {advice or _LIST_PODS}") from None
    try:
        json.loads(body)
    except ValueError:
        raise _OtherServiceError(
            f"{url}: a web page answers ({final_url.partition('?')[0]}), not the API: probably a login page; give "
            f"--kfp-token FILE or --kfp-cookie FILE, or bypass the login: {_FORWARD}; or it is Kubeflow's dashboard, "
            "where --kfp-host ends in /pipeline"
        ) from None


def _http_failure(url: str, status: int, has_login: bool) -> FailedError:
    """The error for an HTTP status other than 200, with a remedy."""
    if status == 401:
        state = "the token or cookie was rejected, or has expired" if has_login else "no token or cookie was given"
        return FailedError(
            f"{url}: login required (401): {state}; give --kfp-token FILE or --kfp-cookie FILE, or bypass the login: "
            f"{_FORWARD}"
        )
    if status == 403:
        return FailedError(
            f"{url}: access is denied (403); have your user added to the namespace's profile, or bypass the gateway: "
            f"{_FORWARD}"
        )
    if status == 404:
        return _OtherServiceError(
            f"{url}: there is no KFP API (404); with Kubeflow's dashboard, --kfp-host ends in /pipeline; for the API "
            f"itself: {_FORWARD}"
        )
    return FailedError(f"{url}: HTTP status {status}; {_LIST_PODS}")
