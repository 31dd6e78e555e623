"""The work for a body grows with its size, not with its square; messages stay short, whatever they quote."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ncf.api.formats import read_requests
from ncf.api.limits import MAX_BODY_BYTES
from ncf.api.media_types import CSV, JSON, LINES
from ncf.api.requests import RequestError

Make = Callable[[int], str]


def members(count: int) -> str:
    return ",".join(f'"{number}":1' for number in range(count))


HOSTILE: dict[str, tuple[str, Make]] = {
    "a key repeated late": (JSON, lambda n: f'{{{members(n)},"{n - 1}":1}}'),
    "a key repeated always": (JSON, lambda n: "{" + '"k":1,' * n + '"k":1}'),
    "a key repeated inside": (JSON, lambda n: f'{{"users": {{{members(n)},"{n - 1}":1}}}}'),
    "unknown keys": (JSON, lambda n: f'{{"users": ["u1"],{members(n)}}}'),
    "a long key": (JSON, lambda n: f'{{"users": ["u1"], "{"x" * n}": 1}}'),
    "deep": (JSON, lambda n: "[" * n),
    "deep objects": (JSON, lambda n: '{"users":' * n),
    "a huge integer": (JSON, lambda n: f'{{"users": [{"1" * n}]}}'),
    "a huge k": (JSON, lambda n: f'{{"users": ["u1"], "k": {"9" * n}}}'),
    "a long fraction": (JSON, lambda n: f'{{"users": [1.{"1" * n}]}}'),
    "large integers": (JSON, lambda n: f'{{"users": [{",".join(["9" * 4000] * (n // 1000))}]}}'),
    "objects": (JSON, lambda n: f'{{"users": [{",".join(["{}"] * n)}]}}'),
    "escapes": (JSON, lambda n: '{"users": ["' + r"\u0041" * n + '"]}'),
    "many users": (JSON, lambda n: f'{{"users": [{",".join(["1"] * n)}]}}'),
    "blank lines": (LINES, lambda n: "\n" * n),
    "lines with a repeated key": (LINES, lambda n: f'{{"users": ["u"]}}\n{{{members(n)},"0":1}}'),
    "quotes": (CSV, lambda n: '"' * n),
    "an open quote": (CSV, lambda n: '"' + "\n" * n),
    "commas": (CSV, lambda n: "," * n),
    "empty rows": (CSV, lambda n: "\r\n" * n),
}


def work(media: str, body: str) -> tuple[float, str]:
    """Seconds, at best, until a body is refused, and the message."""
    best, message = float("inf"), ""
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(RequestError) as refused:
            read_requests(body.encode(), media)
        best, message = min(best, time.process_time() - start), str(refused.value)
    return best, message


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_is_refused_in_linear_time_and_few_words(case: str) -> None:
    media, make = HOSTILE[case]
    (short, _), (long, message) = (work(media, make(count)) for count in (3000, 24_000))
    assert long < 0.005 + 24 * short, "8 times the size; a square would be 64 times the time"
    assert len(message) < 400
    assert len(make(24_000)) < MAX_BODY_BYTES
