"""Links to AWS's console."""

from __future__ import annotations

import pytest

from ncf.aws.links import with_link
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.reports.markdown import link


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/jobs/x"),
        ("https://vpce-1.api.sagemaker.eu-west-1.vpce.amazonaws.com", "https://eu-west-1.console.aws.amazon.com/"),
        ("http://127.0.0.1:1", ""),
    ],
)
def test_only_amazon_s_sagemaker_has_a_console(endpoint: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    found = Aws(AwsAccess(region="eu-west-1")).console_url("jobs/x")
    assert found.startswith(url)
    assert bool(found) == bool(url)


def test_texts_without_a_link_are_as_they_are() -> None:
    assert (link("x", "https://y"), with_link("x", "https://y")) == ("[x](https://y)", "x; https://y")
    assert (link("x", ""), with_link("x", "")) == ("x", "x")
