"""How a program gets at the API of Kubeflow Pipelines (KFP): token, cookie, and the way past a log-in page."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ncf.errors import InputError

TOKEN_VARIABLE, COOKIE_VARIABLE = "NCF_KFP_TOKEN", "NCF_KFP_COOKIE"
AUDIENCE = "pipelines.kubeflow.org"
"""Audience that the API asks of a service account's token."""

_TOKEN = re.compile(r"(?:Bearer\s+)?([!-~]+)")
_COOKIE = re.compile(r"[!-:<>-~]+=[!-:<-~ ]*")


def token(path: str = "") -> str:
    """The bearer token in a file, or else in ``NCF_KFP_TOKEN``; '' where neither is given.

    Raises:
        InputError: if the file cannot be read or holds none.
    """
    text, place = _secret("token", path, TOKEN_VARIABLE)
    found = _TOKEN.fullmatch(text)
    if text and not found:
        raise InputError(f"token: {place} holds no token; expected one line without blanks")
    return found[1] if found else ""


def cookie(path: str = "") -> str:
    """The Cookie header in a file, or else in ``NCF_KFP_COOKIE``; '' where neither is given.

    Cookies may stand one a line, as Cognito's two do, or behind each other as a browser shows them.

    Raises:
        InputError: if the file cannot be read or holds none.
    """
    text, place = _secret("cookie", path, COOKIE_VARIABLE)
    cookies = [part.strip() for part in re.split(r"[;\n]", text.removeprefix("Cookie:")) if part.strip()]
    if (text and not cookies) or not all(_COOKIE.fullmatch(part) for part in cookies):
        raise InputError(f"cookie: {place} holds no cookies; expected NAME=VALUE, one a line or with ';' between them")
    return "; ".join(cookies)


def port_forward(flag: str) -> str:
    """What goes past the gateway, for a command that takes the API's URL by this flag."""
    return f"'kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888', then {flag} http://localhost:8888"


def is_page(body: str) -> bool:
    """Whether an answer is made for people: HTML, not JSON."""
    return body.lstrip()[:1] == "<"


def _secret(name: str, path: str, variable: str) -> tuple[str, str]:
    """A secret's text, and where it is from."""
    if not path:
        return os.environ.get(variable, "").strip(), variable
    try:
        text = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        # the path is not told: where somebody gave the secret itself, logs would keep it
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise InputError(
            f"{name}: the file cannot be read ({reason}); expected the path of a file that holds the {name}; "
            f"the {name} itself may stand in {variable}"
        ) from None
    if not text:
        raise InputError(f"{name}: the file is empty; expected one that holds the {name}")
    return text, "the file"
