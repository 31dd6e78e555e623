"""The page ``/docs`` for programmers."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from .readable import assert_readable


def test_every_sample_for_programmers_is_answered_by_the_model_itself(page: Page, address: str) -> None:
    """Of ids that the model knows, in every form and media type; then back to the page for people."""
    page.goto(f"{address}docs")
    buttons, answers = page.get_by_role("button", name="Send"), page.locator("pre")
    expect(buttons).to_have_count(7)
    known = {f"{kind}{number}" for kind in "ui" for number in range(120)}
    for number, button in enumerate(buttons.all()):
        sample = page.get_by_label("request").nth(number).input_value()
        assert set(re.findall(r"\b[ui]\d+\b", sample)) <= known
        button.click()
        expect(answers.nth(number)).to_contain_text("200 in")
        assert not re.search("popular|unknown|null", answers.nth(number).inner_text()), sample
    lines = answers.nth(5).inner_text().splitlines()[1:]
    assert [next(key for key in ("recommendations", "similar") if key in json.loads(line)) for line in lines] == [
        "recommendations",
        "similar",
    ]
    page.get_by_role("link", name="Users and recommendations").click()
    expect(page.locator("#some button")).to_have_count(8)


def test_samples_for_programmers_hold_ids_of_any_kind(page: Page, address: str) -> None:
    """Also such as CSV must quote; and without the page, whose users it does not tell, there is no link to it."""
    page.route("**/page/users", lambda route: route.fulfill(json={"users": ['a,"b"', "7"]}))
    page.goto(f"{address}docs")
    samples = page.get_by_label("request")
    expect(samples.last).to_have_value('"a,""b"""\n7\n')
    assert json.loads(samples.first.input_value())["users"] == ['a,"b"', "7"]
    page.route("**/page/users", lambda route: route.fulfill(status=404, json={"error": "Not Found"}))
    page.reload()
    expect(samples.last).to_have_value("u42\nu7\n")
    expect(page.get_by_role("link", name="Users and recommendations")).to_be_hidden()
    page.goto(address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 380, 1440])
def test_the_page_for_programmers_is_readable_and_fits(page: Page, address: str, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}docs")
    page.get_by_role("button", name="Send").first.click()
    expect(page.locator("pre").first).to_contain_text("200 in")
    assert_readable(page, width)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") is (scheme == "light")
    page.goto(address)
