"""Items similar to one: opened from a row, in sight at every width, closed again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .conftest import items, label, recommended, show


def test_similar_items_of_a_row_and_back(page: Page, address: str) -> None:
    show(page, "u42")
    row = page.locator("#recommended .row").nth(2)
    item = row.get_attribute("data-item")
    assert item is not None
    button = row.get_by_role("button", name="Similar to")
    button.click()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {label(item)}")
    expect(button).to_have_attribute("aria-current", "true")
    answer = page.request.post(f"{address}invocations", data={"item": item})
    assert items(page, "similar") == [entry["item"] for entry in answer.json()["similar"]]
    page.locator("#similar .similar").first.click()
    expect(page.locator("#similar h2")).not_to_have_text(f"Similar to {label(item)}")
    page.go_back()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {label(item)}")
    page.go_back()
    expect(page.locator("#similar")).to_be_hidden()
    assert items(page, "recommended") == recommended("u42")


def test_a_click_on_a_title_opens_its_similar_items(page: Page) -> None:
    show(page, "u42")
    page.locator("#recommended .title").nth(1).click()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {label(recommended('u42')[1])}")


def test_similar_items_are_closed_and_the_focus_goes_back(page: Page) -> None:
    show(page, "u42")
    button = page.locator("#recommended .similar").nth(3)
    button.click()
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#similar")).to_be_hidden()
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-current", "false")


def test_a_hint_stands_where_similar_items_will(page: Page) -> None:
    hint = page.get_by_text("Choose Similar beside an item")
    show(page, "u42")
    expect(hint).to_be_visible()
    page.locator("#recommended .similar").first.click()
    expect(page.locator("#similar")).to_be_visible()
    expect(hint).to_be_hidden()


@pytest.mark.parametrize("width", [360, 900, 1200])
def test_similar_items_come_into_view(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    show(page, "u42")
    page.locator("#recommended .similar").first.click()
    expect(page.locator("#similar .row").nth(2)).to_be_in_viewport()


def test_similar_items_are_announced(page: Page) -> None:
    show(page, "u42")
    page.locator("#recommended .similar").first.click()
    expect(page.locator("#spoken")).to_have_text(f"Similar to {label(recommended('u42')[0])}: 10 items")


def test_an_unknown_item_is_an_error_that_leaves_the_rest(page: Page, address: str) -> None:
    page.goto(f"{address}#user=u42&item=nothing")
    expect(page.get_by_role("status")).to_contain_text("'nothing', which the model does not know")
    expect(page.locator("#recommended")).to_be_visible()
    expect(page.locator("#similar")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
