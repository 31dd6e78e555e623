"""Whether the API of Kubeflow Pipelines (KFP) answers: a check of ``ncf doctor``."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ncf import kfp_access
from ncf.operators.check import FailedError
from ncf.operators.doctor import Doctor

_PATHS = ("/apis/v2beta1/healthz", "/apis/v1beta1/healthz")
_SECONDS, _BYTES = 10.0, 65_536
_FORWARD = kfp_access.port_forward("--kfp-host")
_LOOK_AT_PODS = "'kubectl get pods -n kubeflow' shows whether KFP runs"
_ADVICE: Mapping[type[OSError], str] = {
    ConnectionRefusedError: f"nothing listens there; to bring the API here: {_FORWARD}",
    socket.gaierror: "check the name in --kfp-host, and whether it is known without a VPN",
    ssl.SSLError: "where the certificate is of your own making, SSL_CERT_FILE=CA.pem makes it known",
    TimeoutError: f"a firewall may be in the way; to go past it: {_FORWARD}",
}


class _NoApiError(FailedError):
    """Something else than KFP's API answers."""


def check(wanted: Doctor) -> str:
    """What is well with the API at ``kfp_host``.

    Raises:
        FailedError: if it does not answer, or something else does.
        InputError: if ``kfp_token`` or ``kfp_cookie`` cannot be read.
    """
    login = _login(wanted)
    strangers = []
    for path in _PATHS:
        try:
            _ask(f"{wanted.kfp_host}{path}", login)
            return f"{wanted.kfp_host} answers at {path}"
        except _NoApiError as error:
            strangers.append(error)
    raise strangers[0]


def _login(wanted: Doctor) -> dict[str, str]:
    """Headers that say who asks."""
    headers = {}
    if token := kfp_access.token(wanted.kfp_token):
        headers["Authorization"] = f"Bearer {token}"
    if cookie := kfp_access.cookie(wanted.kfp_cookie):
        headers["Cookie"] = cookie
    return headers


def _ask(url: str, login: Mapping[str, str]) -> None:
    """Have KFP say that it is well.

    Raises:
        FailedError: if it does not.
    """
    request = Request(url)
    for name, value in login.items():
        request.add_unredirected_header(name, value)  # the host of a log-in page must not learn them
    try:
        with urlopen(request, timeout=_SECONDS) as answer:
            body, place = answer.read(_BYTES), answer.url
    except HTTPError as error:
        raise _http_failure(url, error.code, bool(login)) from None
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        advice = next((text for kind, text in _ADVICE.items() if isinstance(cause, kind)), "")
        raise FailedError(f"{url}: {cause}; {advice or _LOOK_AT_PODS}") from None
    try:
        json.loads(body)
    except ValueError:
        raise _NoApiError(
            f"{url}: a web page answers ({place.partition('?')[0]}), not the API: most likely a log-in, which programs "
            f"cannot fill in, so give --kfp-token FILE or --kfp-cookie FILE, or go past it: {_FORWARD}; or Kubeflow's "
            "dashboard, whose --kfp-host ends in /pipeline"
        ) from None


def _http_failure(url: str, status: int, has_login: bool) -> FailedError:
    """What an HTTP status other than 200 means, and what to do about it."""
    if status == 401:
        state = "the token or cookie is not taken, or has expired" if has_login else "no token or cookie is given"
        return FailedError(
            f"{url}: a log-in is asked for (401), and {state}; give --kfp-token FILE or --kfp-cookie FILE, or go past "
            f"it: {_FORWARD}"
        )
    if status == 403:
        return FailedError(
            f"{url}: access is refused (403); have your user added to the namespace's profile, or go past the "
            f"gateway: {_FORWARD}"
        )
    if status == 404:
        return _NoApiError(
            f"{url}: there is no KFP API (404); behind Kubeflow's dashboard --kfp-host ends in /pipeline; "
            f"straight to the API: {_FORWARD}"
        )
    return FailedError(f"{url}: it answers with {status}; {_LOOK_AT_PODS}")
