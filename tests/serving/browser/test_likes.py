"""A visitor's likes: kept in the browser alone, and recommendations for them."""

from __future__ import annotations

import json

from playwright.sync_api import Browser, Page, expect

from ncf.api.requests import ForHistory

from .conftest import HOSTILE, RECOMMENDER, items, label, show


def for_likes(likes: list[str]) -> list[str]:
    answer = RECOMMENDER.answer(ForHistory(history=likes))
    assert "items" in answer
    return [item["item"] for item in answer["items"]]


def store(page: Page, value: object) -> None:
    """Keep a value as the likes of a visitor, and come again."""
    page.evaluate("value => localStorage.setItem('ncf-likes', value)", json.dumps(value))
    page.reload()


def chips(page: Page) -> list[str]:
    return page.locator("#likes .chips button").all_text_contents()


def test_recommendations_follow_from_likes(page: Page) -> None:
    expect(page.locator("#recommended h2")).to_have_text("Popular items")
    popular = items(page, "recommended")
    page.locator("#recommended .heart").first.click()
    expect(page.locator("#recommended h2")).to_have_text("Recommended for your likes")
    expect(page.locator("#spoken")).to_have_text("Recommended for your likes: 10 items")
    assert items(page, "recommended") == for_likes(popular[:1])
    assert chips(page) == [label(popular[0])]


def test_likes_stay_when_the_visitor_comes_again(page: Page) -> None:
    store(page, ["i3", "i4"])
    expect(page.locator("#likes .chips button")).to_have_text(["Title 3", "Title 4"])
    expect(page.locator("#likes .note")).to_contain_text("Kept in this browser only")
    assert items(page, "recommended") == for_likes(["i3", "i4"])


def test_a_like_is_removed(page: Page) -> None:
    store(page, ["i3", "i4"])
    page.get_by_role("button", name="Remove Title 3 from your likes").press("Enter")
    expect(page.locator("#likes .chips button")).to_have_text(["Title 4"])
    expect(page.get_by_role("button", name="Remove Title 4 from your likes")).to_be_focused()
    assert page.evaluate("localStorage.getItem('ncf-likes')") == '["i4"]'


def test_all_likes_are_removed(page: Page) -> None:
    store(page, ["i3", "i4"])
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#likes .note")).to_contain_text("None yet")
    expect(page.locator("#recommended h2")).to_have_text("Popular items")
    expect(page.get_by_role("heading", name="Your likes")).to_be_focused()
    assert page.evaluate("localStorage.getItem('ncf-likes')") == "[]"


def test_an_item_found_by_title_is_liked(page: Page) -> None:
    page.get_by_label("Find a title").fill("title 33")
    page.keyboard.press("Enter")
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 33")
    like = page.locator("#similar").get_by_role("button", name="Like Title 33")
    expect(like).to_have_attribute("aria-pressed", "false")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    like.click()
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#recommended h2")).to_have_text("Recommended for your likes")
    assert not any(body.startswith('{"item"') for body in asked), "similar items stay as they are"
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 33")
    assert chips(page) == ["Title 33"]
    like.click()
    expect(like).to_have_attribute("aria-pressed", "false")
    assert chips(page) == []


def test_the_keyboard_goes_on_where_an_item_was_liked(page: Page) -> None:
    store(page, ["i3"])
    expect(page.locator("#recommended h2")).to_have_text("Recommended for your likes")
    page.locator("#recommended .heart").nth(2).press("Enter")
    expect(page.locator("#likes .chips button")).to_have_count(2)
    expect(page.get_by_role("status")).to_have_text("")
    expect(page.locator("#recommended .heart").nth(2)).to_be_focused()


def test_items_of_a_user_are_liked(page: Page) -> None:
    show(page, "u42")
    liked = page.locator("#history .heart").first
    item = items(page, "history")[0]
    liked.click()
    expect(liked).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Recommendations for your own likes").click()
    expect(page.locator("#recommended h2")).to_have_text("Recommended for your likes")
    assert chips(page) == [label(item)]


def test_likes_that_the_model_does_not_know_are_said(page: Page) -> None:
    store(page, ["gone", "i3"])
    expect(page.get_by_role("status")).to_have_text("The model does not know 1 of your likes.")
    assert chips(page) == ["gone", "Title 3"]
    store(page, ["gone"])
    expect(page.locator("#recommended .note")).to_have_text("Popular items, by number of interactions")


def test_damaged_likes_count_as_none(page: Page) -> None:
    for damaged in ({"a": 1}, "i3", 7, [1, None, "", "x" * 513]):
        store(page, damaged)
        expect(page.locator("#recommended h2")).to_have_text("Popular items")
    page.evaluate("localStorage.setItem('ncf-likes', '[')")
    page.reload()
    expect(page.locator("#recommended h2")).to_have_text("Popular items")
    store(page, ["i3", 5, "i3"])
    expect(page.locator("#likes .chips button")).to_have_text(["Title 3"])


def test_there_is_a_most_of_likes(page: Page) -> None:
    likes = [f"i{item}" for item in range(101)]
    store(page, likes)
    expect(page.locator("#likes .chips button")).to_have_count(100)
    page.locator("#recommended .heart").first.click()
    expect(page.get_by_role("status")).to_have_text("100 likes are the most; remove some first.")
    assert len(chips(page)) == 100


def test_without_storage_likes_last_as_long_as_the_page(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    page.goto(address)
    page.locator("#recommended .heart").first.click()
    expect(page.locator("#likes .chips button")).to_have_count(1)
    expect(page.locator("#likes .note")).to_contain_text("keeps nothing")
    expect(page.locator("#recommended h2")).to_have_text("Recommended for your likes")
    page.close()


def test_another_window_shows_the_same_likes(page: Page, address: str) -> None:
    other = page.context.new_page()
    other.goto(address)
    other.locator("#recommended .heart").first.click()
    expect(page.locator("#likes .chips button")).to_have_count(1)
    other.close()


def test_a_hostile_title_that_is_liked_stays_text(page: Page) -> None:
    store(page, ["i1", '<img src=x onerror="document.title = 3">'])
    expect(page.locator("#likes .chips button").first).to_have_text(HOSTILE)
    assert page.locator("#likes img, #likes script").count() == 0
