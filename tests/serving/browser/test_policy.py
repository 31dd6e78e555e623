"""Hostile titles, and the Content-Security-Policy in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from .conftest import HOSTILE, titles


def test_hostile_titles_are_shown_as_they_are(page: Page, address: str) -> None:
    page.goto(f"{address}#user=u1&item=i1")
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {HOSTILE}")
    expect(page.locator("#history")).to_be_visible()
    assert HOSTILE in titles(page, "recommended") + titles(page, "history") + titles(page, "similar")
    assert page.locator("main img, main script").count() == 0


def test_the_policy_stops_what_would_be_injected(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    for injection in (
        "document.body.innerHTML = '<b>x</b>'",
        "const made = document.createElement('script'); made.text = '1'",
    ):
        with pytest.raises(Error, match="TrustedHTML|TrustedScript|Content Security Policy"):
            page.evaluate(f"() => {{ {injection} }}")
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://127.0.0.2:1/')")
    page.close()
