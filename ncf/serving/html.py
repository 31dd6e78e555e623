"""HTML pages: single files that load nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_INCLUDE = re.compile(r"^/\* include (\S+) \*/\n", re.MULTILINE)
"""Line of a page for which a file of the folder ``static`` is substituted."""
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def html_route(path: str, file: str) -> Route:
    """Route to a file of this package, with a Content-Security-Policy that allows its own style and script."""

    async def page(_: Request) -> HTMLResponse:
        text, policy = _page(file)
        headers = {
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)

    return Route(path, page)


@cache
def _page(file: str) -> tuple[str, str]:
    """The text of a page and its Content-Security-Policy (https://www.w3.org/TR/CSP3/)."""
    text = resources.files("ncf.serving").joinpath(file).read_text(encoding="utf-8")
    text = _INCLUDE.sub(_included, text)
    allowed: dict[str, list[str]] = {"style": [], "script": []}
    for kind, content in _INLINE.findall(text):
        allowed[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'")
    policy = [
        "default-src 'none'",
        *(f"{kind}-src {' '.join(hashes)}" for kind, hashes in allowed.items()),
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # text never becomes markup
    ]
    return text, "; ".join(policy)


def _included(line: re.Match[str]) -> str:
    return resources.files("ncf.serving").joinpath("static", line[1]).read_text(encoding="utf-8")
