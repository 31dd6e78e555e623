"""Search by title, with or without a user."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import HOSTILE, show


def test_a_title_is_found_as_it_is_typed(page: Page) -> None:
    field = page.get_by_label("Find a title")
    field.focus()
    page.keyboard.type("TÍTLE 11")
    options = page.get_by_role("option")
    expect(options.first).to_contain_text("Title 11")
    expect(page.locator("#spoken")).to_have_text(f"{options.count()} suggestions")
    page.keyboard.press("ArrowDown")
    chosen = options.first.inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {chosen}")
    expect(page.locator("#similar .row").nth(9)).to_be_visible()
    expect(field).to_have_value("")
    expect(page.get_by_role("listbox")).to_have_count(0)


def test_without_a_choice_the_first_match_is_shown(page: Page) -> None:
    page.get_by_label("Find a title").fill("title 33")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 33")


def test_a_title_that_nothing_matches(page: Page) -> None:
    page.get_by_label("Find a title").fill("<b>none</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("No title matches “<b>none</b>”.")
    expect(page.locator("#similar")).to_be_hidden()


def test_the_user_stays_when_a_title_is_chosen(page: Page) -> None:
    show(page, "u42")
    page.get_by_label("Find a title").fill("title 33")
    page.get_by_role("option").first.click()
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 33")
    expect(page.locator("#recommended h2")).to_have_text("Recommended for user u42")


def test_hostile_titles_among_the_suggestions_stay_text(page: Page) -> None:
    page.get_by_label("Find a title").fill("onerror")
    options = page.get_by_role("option")
    expect(options.first).to_have_text(HOSTILE)
    options.first.click()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {HOSTILE}")
