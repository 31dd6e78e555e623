"""A user's history: its dates, and long ones."""

from __future__ import annotations

from datetime import date

from playwright.sync_api import Page, expect

from .conftest import LONG_HISTORY, RECOMMENDER, items, show


def latest_first(user: str) -> list[str]:
    dates, history = RECOMMENDER.dates(user), [item["item"] for item in RECOMMENDER.history(user)]
    return sorted(history, key=lambda item: dates[item], reverse=True)


def test_the_latest_come_first_with_their_dates(page: Page) -> None:
    show(page, "u42")
    expect(page.locator("#history .note")).to_have_text("15 items, latest first")
    assert items(page, "history") == latest_first("u42")
    times = page.locator("#history time")
    dates = times.evaluate_all("nodes => nodes.map(node => node.dateTime)")
    assert dates == sorted(dates, reverse=True)
    first = date.fromisoformat(dates[0])
    expect(times.first).to_contain_text(f"{first.day} {first:%b}")
    expect(times.first).to_contain_text(str(first.year))


def test_a_history_without_dates_goes_by_score(page: Page) -> None:
    found = [{"item": "i5", "title": "Five", "score": 1.25}, {"item": "i6", "score": -1}]
    page.route("**/page/history?*", lambda route: route.fulfill(json={"user": "u42", "total": 2, "items": found}))
    show(page, "u42")
    expect(page.locator("#history .note")).to_have_text("2 items, by the model's score")
    expect(page.locator("#history time")).to_have_count(0)
    expect(page.locator("#history .score")).to_have_text(["score 1.25", "score -1.00"])


def test_a_long_history_is_folded(page: Page) -> None:
    show(page, "u42")
    rows = page.locator("#history .row")
    expect(rows.nth(9)).to_be_visible()
    expect(rows.nth(10)).to_be_hidden()
    page.get_by_role("button", name="Show all 15").press("Enter")
    expect(rows.nth(10).locator(".similar")).to_be_focused()
    expect(rows.nth(14)).to_be_visible()
    show(page, "u43")
    expect(page.get_by_role("button", name="Show all 15")).to_have_count(1)


def test_a_history_of_several_answers_is_shown_to_its_end(page: Page) -> None:
    show(page, "u77")
    expect(page.locator("#history .note")).to_have_text(f"{LONG_HISTORY} items, latest first")
    page.get_by_role("button", name=f"Show all {LONG_HISTORY}").click()
    expect(page.locator("#history .row").nth(LONG_HISTORY - 1)).to_be_visible()
    assert items(page, "history") == latest_first("u77")
    assert page.locator("#history .rank").all_text_contents() == [str(n + 1) for n in range(LONG_HISTORY)]
    expect(page.locator("#history .row").nth(10).locator(".similar")).to_be_focused()
    expect(page.locator("#history .more")).to_have_count(0)


def test_more_of_a_history_can_be_asked_for_again_after_a_fault(page: Page) -> None:
    show(page, "u77")
    page.route("**/page/history?*", lambda route: route.abort())
    more = page.get_by_role("button", name=f"Show all {LONG_HISTORY}")
    more.click()
    expect(page.get_by_role("status")).to_have_text("The server does not answer.")
    page.unroute("**/page/history?*")
    more.click()
    expect(page.locator("#history .row").nth(LONG_HISTORY - 1)).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("")
