"""Media types of requests and answers: JSON, JSON Lines and CSV.

https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
"""

from __future__ import annotations

from ncf.api.requests import RequestError

JSON = "application/json"
LINES = "application/jsonlines"
CSV = "text/csv"
MEDIA_TYPES = (JSON, LINES, CSV)
_ALIASES = {"application/x-ndjson": LINES, "application/x-jsonlines": LINES, "application/jsonl": LINES}
_WILDCARDS = {"*/*", "application/*", "text/*"}
_CHARSETS = ("utf-8", "utf8", "us-ascii")


def media_type(content_type: str) -> str:
    """The media type of a body.

    Args:
        content_type: header of the request.

    Raises:
        RequestError: 415 for any other media type, or a charset other than UTF-8.
    """
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    found = _ALIASES.get(name, name)
    if found not in MEDIA_TYPES:
        raise RequestError(415, f"content type is {name[:60]!r}; expected {', '.join(MEDIA_TYPES)}")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            raise RequestError(415, f"charset is {value.strip()[:60]!r}; expected utf-8")
    return found


def accepted(accept: str, given: str) -> str:
    """The media type of the answer: the first one that the client accepts.

    Args:
        accept: header of the request.
        given: media type of the body, used if the client accepts any.

    Raises:
        RequestError: 406 if the client accepts none of the three.
    """
    ranked = []
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            ranked.append((-float(quality), _ALIASES.get(name, name)))
        except ValueError:
            raise RequestError(406, f"accept has a quality of {quality[:20]!r}; expected 0 to 1") from None
    names = [name for quality, name in sorted(ranked, key=lambda pair: pair[0]) if quality < 0]
    for name in names:
        if name in MEDIA_TYPES:
            return name
        if name == "*/*" or (name in _WILDCARDS and given.startswith(name[:-1])):
            return given
        if name in _WILDCARDS:
            return JSON if name == "application/*" else CSV
    if not accept.strip():
        return given
    raise RequestError(406, f"accept is {accept[:60]!r}; expected one of {', '.join(MEDIA_TYPES)}")
