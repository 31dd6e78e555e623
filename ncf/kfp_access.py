"""Access to the API of Kubeflow Pipelines (KFP): token, cookie, and port forwarding."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ncf.errors import InputError

TOKEN_VARIABLE, COOKIE_VARIABLE = "NCF_KFP_TOKEN", "NCF_KFP_COOKIE"
AUDIENCE = "pipelines.kubeflow.org"
"""Audience of the service account tokens that the API accepts."""

_TOKEN = re.compile(r"(?:Bearer\s+)?([!-~]+)")
_COOKIE = re.compile(r"[!-:<>-~]+=[!-:<-~ ]*")


def token(path: str = "") -> str:
    """The bearer token of a file or, without one, of ``NCF_KFP_TOKEN``; '' if neither is given.

    Args:
        path: file with the token; '' for none.

    Raises:
        InputError: if the file cannot be read or holds no token.
    """
    text, source = _secret("token", path, TOKEN_VARIABLE)
    found = _TOKEN.fullmatch(text)
    if text and not found:
        raise InputError(f"token: {source} holds no token; expected one line without blanks")
    return found[1] if found else ""


def cookie(path: str = "") -> str:
    """The Cookie header of a file or, without one, of ``NCF_KFP_COOKIE``; '' if neither is given.

    Cookies are separated by line breaks or, as a browser shows them, by semicolons. Cognito sets two.

    Args:
        path: file with the cookies; '' for none.

    Raises:
        InputError: if the file cannot be read or holds no cookies.
    """
    text, source = _secret("cookie", path, COOKIE_VARIABLE)
    cookies = [part.strip() for part in re.split(r"[;\n]", text.removeprefix("Cookie:")) if part.strip()]
    if (text and not cookies) or not all(_COOKIE.fullmatch(part) for part in cookies):
        raise InputError(f"cookie: {source} holds no cookies; expected NAME=VALUE, one a line or separated by ';'")
    return "; ".join(cookies)


def port_forward(flag: str) -> str:
    """Instruction to bypass the gateway by port forwarding.

    Args:
        flag: flag of the command that sets the URL of the API.
    """
    return f"'kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888', then {flag} http://localhost:8888"


def is_page(body: str) -> bool:
    """Whether the body of an answer is HTML, such as a login page, instead of JSON."""
    return body.lstrip()[:1] == "<"


def _secret(name: str, path: str, variable: str) -> tuple[str, str]:
    """Text of a secret, and the name of its source."""
    if not path:
        return os.environ.get(variable, "").strip(), variable
    try:
        text = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        # the message omits the path: the secret itself may have been passed instead, and logs would keep it
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise InputError(
            f"{name}: the file cannot be read ({reason}); expected the path of a file that holds the {name}, "
            f"or the {name} itself in {variable}"
        ) from None
    if not text:
        raise InputError(f"{name}: the file is empty; expected the {name} in it")
    return text, "the file"
