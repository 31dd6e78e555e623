"""A user's recommendations: typed, picked, linked to."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import MODEL, items, label, recommended, show, titles


def test_recommendations_of_a_typed_user(page: Page) -> None:
    show(page, "u42")
    expect(page.locator("#recommended h2")).to_have_text("Recommended for user u42")
    assert items(page, "recommended") == recommended("u42")
    assert titles(page, "recommended") == [label(item) for item in recommended("u42")]


def test_users_are_picked_with_the_keyboard_alone(page: Page) -> None:
    field = page.get_by_label("Show a user")
    field.focus()
    page.keyboard.type("u11")
    options = page.get_by_role("option")
    expect(options).to_have_text(["u11", *[f"u11{last}" for last in range(7)]])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    page.keyboard.press("Enter")
    expect(field).to_have_value("u110")
    expect(page.locator("#recommended")).to_be_visible()
    expect(page.get_by_role("listbox")).to_have_count(0)
    assert items(page, "recommended") == recommended("u110")


def test_escape_closes_the_list(page: Page) -> None:
    field = page.get_by_label("Show a user")
    field.focus()
    page.keyboard.type("u1")
    expect(page.get_by_role("listbox", name="Users")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_have_count(0)
    expect(field).to_have_attribute("aria-expanded", "false")


def test_users_to_begin_with(page: Page) -> None:
    first = page.locator("#some button").first
    expect(first).to_be_visible()
    users = page.locator("#some button").all_text_contents()
    assert users == sorted(users, key=lambda user: int(user.removeprefix("u")))
    user = first.inner_text()
    first.click()
    expect(page.get_by_label("Show a user")).to_have_value(user)
    expect(page.locator("#history")).to_be_visible()
    assert items(page, "recommended") == recommended(user)


def test_the_heading_leads_back_to_the_first_view(page: Page) -> None:
    show(page, "u42")
    expect(page.locator("#start")).to_be_hidden()
    page.get_by_role("link", name="NCF recommender").click()
    expect(page.locator("#some button")).to_have_count(8)
    expect(page.locator("#recommended h2")).to_have_text("Popular items")
    expect(page.locator("#history")).to_be_hidden()
    expect(page.get_by_label("Show a user")).to_have_value("")


def test_a_link_shows_the_same_again(page: Page, address: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}#user=u42&item=i3")
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 3")
    expect(page.locator("#recommended")).to_be_visible()
    assert items(page, "recommended") == recommended("u42")


def test_an_unknown_user_gets_popular_items(page: Page) -> None:
    show(page, "<b>nobody</b>")
    expect(page.get_by_role("status")).to_contain_text("does not know user <b>nobody</b>")
    expect(page.locator("#history .note")).to_have_text("No history.")
    expect(page.locator("#recommended .score").first).to_have_text(f"{MODEL.popularity.max()} interactions")
    assert len(items(page, "recommended")) == 10
