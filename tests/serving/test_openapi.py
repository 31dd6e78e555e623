"""The server against its own description: schemathesis makes requests from it, in process."""

from __future__ import annotations

import os
import re
from concurrent.futures import Future
from html.parser import HTMLParser

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from random_model import random_model
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from ncf.api.requests import FORMS, parse
from ncf.serving.app import create_app
from ncf.serving.openapi import document
from ncf.serving.recommender import Recommender
from tests.serving import schemathesis_hooks  # noqa: F401  registers

EXAMPLES = int(os.environ.get("NCF_FUZZ_EXAMPLES", "40"))
"""Requests for each operation and way of making them; more by hand."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


loading: Future[Recommender] = Future()
loading.set_result(Recommender(random_model()))
app = create_app(loading)
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_is_described(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)


def test_the_document_is_valid_and_its_examples_are_accepted() -> None:
    schemas = document()["components"]["schemas"]
    for model in schemas.values():
        Draft202012Validator.check_schema(model)
    for form in FORMS:
        for example in schemas[form.__name__]["examples"]:
            Draft202012Validator({"$ref": f"#/components/schemas/{form.__name__}", **document()}).validate(example)
            assert isinstance(parse(str(example).replace("'", '"').encode()), form)


class Resources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    response = TestClient(app).get("/docs")
    assert response.status_code == 200
    page = Resources()
    page.feed(response.text)
    assert page.addresses == ["data:,", "openapi.json", "./"]
    assert not re.search(r"https?://|@import|url\(", response.text)
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("cores", "max_requests", "megabytes", "expected"),
    [(4, 64, 1, 4), (192, 64, 1, 64), (192, 192, 1, 100), (192, 3, 1, 3), (64, 64, 6, 16), (1, 64, 100, 1)],
)
def test_a_transform_job_gets_defaults(
    cores: int, max_requests: int, megabytes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults stay within the limits of the server and of SageMaker."""
    server = create_app(Future(), max_requests)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(cores), raising=False)
    monkeypatch.setattr("ncf.api.limits.MAX_BODY_BYTES", megabytes << 20)
    answer = TestClient(server).get("/execution-parameters").json()
    wanted = {"BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": megabytes, "MaxConcurrentTransforms": expected}
    assert answer == wanted
