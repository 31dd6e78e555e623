"""Errors for refused requests to the KFP API, with advice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from ncf.errors import InputError, RemoteError
from ncf.kfp_access import AUDIENCE, COOKIE_VARIABLE, TOKEN_VARIABLE, is_page, port_forward

_MAX_CHARACTERS = 300
_NO_SUCH_PATH = ("", "not found", "404 page not found")
"""Messages for an unknown path. For an unknown run or version the API says more."""
_PAST = port_forward("--host")
_EXPIRED = "the token or cookie is not accepted, or has expired"
_LOG_IN = (
    f"give --token FILE or {TOKEN_VARIABLE} ('kubectl create token default-editor -n NAMESPACE --audience {AUDIENCE}' "
    f"makes a token), or --cookie FILE or {COOKIE_VARIABLE} with the cookies of a browser's session, or bypass the "
    f"gateway: {_PAST}"
)
_OF_NOTEBOOKS = "a notebook made with 'Allow access to Kubeflow Pipelines' has a token; or "


class UnreachableError(InputError):
    """The host cannot be reached."""


@dataclass(frozen=True)
class Call:
    """A call of the API.

    Attributes:
        host: URL of the API.
        has_login: whether the call carries a token or cookie.
        in_pod: whether the caller is a pod of a cluster.
    """

    host: str
    has_login: bool
    in_pod: bool


def refused(call: Call, error: ApiException) -> InputError | RemoteError:
    """The error for an answer of another kind than expected."""
    status, said = int(error.status or 0), _said(error.body)
    location = dict(error.headers or {}).get("Location", "")
    if 300 <= status < 400:
        return InputError(f"host: '{call.host}' {_redirect(call, location)}")
    if is_page(_text(error.body)) and status in (200, 401, 403):
        return InputError(f"host: '{call.host}' answers with a web page instead of the API's JSON: {_log_in(call)}")
    if 200 <= status < 300:
        return InputError(f"host: '{call.host}' answers, but not like KFP; expected the URL of the KFP API")
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
    advice = f"expected the URL of the KFP API; to forward it to this machine: {_PAST}"
    if isinstance(cause, SSLError):
        advice = "give the certificate of its authority as --ca-cert FILE"
        if "WRONG_VERSION_NUMBER" in str(cause):
            advice = "it does not speak TLS; try http:// instead of https://"
    return UnreachableError(f"host: '{call.host}' cannot be reached: {_line(cause)}; {advice}")


def _redirect(call: Call, location: str) -> str:
    here, there = urlsplit(call.host), urlsplit(location)
    if (here.hostname, here.scheme) == (there.hostname, "http") and there.scheme == "https":
        return f"redirects to https; give --host https://{there.netloc}{here.path}"
    target = f"{there.scheme}://{there.netloc}{there.path}" if there.netloc else there.path  # the query holds secrets
    return f"redirects to '{target}', which the API does not do: {_log_in(call)}"


def _log_in(call: Call, state: str = "most likely a login page, which a program cannot fill in") -> str:
    if call.has_login:
        state = _EXPIRED
    return f"{state}; {_OF_NOTEBOOKS if call.in_pod else ''}{_LOG_IN}"


def _advice(call: Call, status: int, said: str) -> str:
    if status == 401:
        return _log_in(call, "the request has no user")
    if status == 400 and "multi-user" in said and "namespace" in said:
        return "give --namespace with the namespace of your profile, such as my-profile"
    if status == 403:
        return "add your user to the profile of the namespace, or give --namespace with that of your own profile"
    if status == 404 and (said.lower() in _NO_SUCH_PATH or is_page(said)):
        return (
            "behind Kubeflow's dashboard --host ends in /pipeline; Kubeflow 1.7, before 2.0.0-beta.1, has no such API: "
            "upload the file in its UI"
        )
    return ""


def _said(body: Any) -> str:
    """The message of an answer."""
    text = _text(body)
    try:
        content = json.loads(text)
    except ValueError:
        return _line(text)
    message = content.get("message") or content.get("error") if isinstance(content, dict) else ""
    return _line(message or text)


def _text(body: Any) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")


def _line(said: object) -> str:
    return " ".join(str(said or "").split())[:_MAX_CHARACTERS]
