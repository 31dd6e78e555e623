"""What it means where the KFP API, or something in its place, refuses a request, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from ncf.errors import InputError, RemoteError
from ncf.kfp_access import AUDIENCE, COOKIE_VARIABLE, TOKEN_VARIABLE, is_page, port_forward

_MOST = 300
_NO_SUCH_PATH = ("", "not found", "404 page not found")
"""What is said of a path that is unknown; of a run or a version that is, the API says more."""
_PAST = port_forward("--host")
_EXPIRED = "the token or cookie is not taken, or has expired"
_LOG_IN = (
    f"give --token FILE or {TOKEN_VARIABLE} ('kubectl create token default-editor -n NAMESPACE --audience {AUDIENCE}' "
    f"makes a token), or --cookie FILE or {COOKIE_VARIABLE} with the cookies of a session in a browser, or go past the "
    f"gateway: {_PAST}"
)
_OF_NOTEBOOKS = "a notebook made with 'Allow access to Kubeflow Pipelines' has a token; or "


class UnreachableError(InputError):
    """Nothing answers at the host."""


@dataclass(frozen=True)
class Call:
    """A call of the API.

    Attributes:
        host: the API's URL.
        has_login: whether a token or cookie goes with it.
        in_pod: whether a pod of a cluster calls.
    """

    host: str
    has_login: bool
    in_pod: bool


def refused(call: Call, error: ApiException) -> InputError | RemoteError:
    """The error for an answer that is not the one that was asked for."""
    status, said = int(error.status or 0), _said(error.body)
    location = dict(error.headers or {}).get("Location", "")
    if 300 <= status < 400:
        return InputError(f"host: '{call.host}' {_redirect(call, location)}")
    if is_page(_text(error.body)) and status in (200, 401, 403):
        return InputError(f"host: '{call.host}' answers with a web page, not as the API: {_log_in(call)}")
    if 200 <= status < 300:
        return InputError(f"host: '{call.host}' answers, but not as KFP does; expected the URL of the KFP API")
    message = f"host: '{call.host}' answered {status} {error.reason}: {said}"
    if status >= 500 or status in (408, 429):
        return RemoteError(message)
    advice = _advice(call, status, said)
    return InputError(f"{message}; {advice}" if advice else message)


def unanswered(call: Call, error: HTTPError) -> InputError | RemoteError:
    """The error for a request without an answer."""
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, ReadTimeoutError):
        return RemoteError(f"host: '{call.host}' does not answer: {_line(cause)}")
    advice = f"expected the URL of the KFP API; to bring it here: {_PAST}"
    if isinstance(cause, SSLError):
        advice = "--ca-cert FILE makes the authority known that signed its certificate"
        if "WRONG_VERSION_NUMBER" in str(cause):
            advice = "it does not speak TLS; try http:// in place of https://"
    return UnreachableError(f"host: '{call.host}' cannot be reached: {_line(cause)}; {advice}")


def _redirect(call: Call, location: str) -> str:
    here, there = urlsplit(call.host), urlsplit(location)
    if (here.hostname, here.scheme) == (there.hostname, "http") and there.scheme == "https":
        return f"redirects to https; give --host https://{there.netloc}{here.path}"
    place = f"{there.scheme}://{there.netloc}{there.path}" if there.netloc else there.path  # the query holds secrets
    return f"redirects to '{place}', and not as the API does: {_log_in(call)}"


def _log_in(call: Call, state: str = "most likely a log-in, which a program cannot fill in") -> str:
    if call.has_login:
        state = _EXPIRED
    return f"{state}; {_OF_NOTEBOOKS if call.in_pod else ''}{_LOG_IN}"


def _advice(call: Call, status: int, said: str) -> str:
    if status == 401:
        return _log_in(call, "no user is known")
    if status == 400 and "multi-user" in said and "namespace" in said:
        return "give --namespace with your profile's, such as my-profile"
    if status == 403:
        return "have your user added to the namespace's profile, or give --namespace with one of your own"
    if status == 404 and (said.lower() in _NO_SUCH_PATH or is_page(said)):
        return (
            "behind Kubeflow's dashboard --host ends in /pipeline; Kubeflow 1.7, before 2.0.0-beta.1, has no such API: "
            "upload the file in its UI"
        )
    return ""


def _said(body: Any) -> str:
    """What an answer says, without its form."""
    text = _text(body)
    try:
        content = json.loads(text)
    except ValueError:
        return _line(text)
    told = content.get("message") or content.get("error") if isinstance(content, dict) else ""
    return _line(told or text)


def _text(body: Any) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")


def _line(said: object) -> str:
    return " ".join(str(said or "").split())[:_MOST]
