"""Faults of the server: said, and tried again."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import items, recommended


def test_a_server_that_does_not_answer(page: Page) -> None:
    page.route("**/invocations", lambda route: route.abort())
    page.get_by_label("Show a user").fill("u42")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The server does not answer.")
    page.unroute("**/invocations")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#recommended")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    assert items(page, "recommended") == recommended("u42")


def test_a_model_that_is_still_loading(page: Page) -> None:
    refused = {"status": 503, "json": {"error": "the model is not loaded yet"}}
    page.route("**/page/*", lambda route: route.fulfill(**refused))
    page.reload()
    expect(page.get_by_role("status")).to_have_text("the model is not loaded yet")
    page.unroute("**/page/*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#some button")).to_have_count(8)
    expect(page.locator("#what")).to_be_visible()
    expect(page.locator("#recommended .row")).to_have_count(8)
    expect(page.get_by_role("status")).to_have_text("")


def test_a_search_that_fails_is_said(page: Page) -> None:
    page.route("**/page/titles?*", lambda route: route.abort())
    page.get_by_label("Find a title").fill("title")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The server does not answer.")


def test_nothing_touches_the_button_to_try_again(page: Page, address: str) -> None:
    """It stands above the lists where only similar items fail."""
    page.route(
        "**/invocations", lambda route: route.abort() if "item" in route.request.post_data else route.continue_()
    )
    page.goto(f"{address}#user=u42&item=i3")
    expect(page.locator("#recommended")).to_be_visible()
    button = page.get_by_role("button", name="Try again").bounding_box()
    rule = page.locator("#recommended").bounding_box()
    assert button is not None
    assert rule is not None
    assert button["y"] + button["height"] + 10 <= rule["y"]
