"""What the page says about the model: only what the model folder holds."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import show


def test_it_says_what_the_model_is_and_how_good(page: Page, address: str) -> None:
    what, quality = page.locator("#what"), page.locator("#quality")
    expect(what).to_contain_text("neural network (NeuMF)")
    expect(what).to_contain_text("of 120 users with 120 items")
    expect(what).to_contain_text("Trained on 25 Nov 2026.")
    version = page.request.get(f"{address}ping").json()["model_version"]
    expect(what).to_contain_text(f"Model {version}.")
    expect(quality).to_contain_text(
        "in a trial with 120 interactions held back, it ranked 73% of them in the top 10 of 100 items; "
        "by chance it would be 10% (HR@10 0.731). NDCG@10, which also counts the rank within the top 10, is 0.483"
    )


def test_what_is_unknown_is_left_out(page: Page) -> None:
    about = {"model_version": "x", "model": "GMF", "users": 1, "items": 2, "interactions": 3}
    page.route("**/page/about", lambda route: route.fulfill(json=about))
    page.reload()
    expect(page.locator("#what")).to_have_text(
        "Recommendations by a neural network (GMF) that has learned from 3 interactions of 1 users with 2 items. Model x."
    )
    expect(page.locator("#quality")).to_be_hidden()


def test_metrics_without_the_number_of_candidates(page: Page) -> None:
    about = {"model_version": "x", "model": "GMF", "users": 1, "items": 2, "interactions": 3}
    metrics = {"hr_at_10": 0.5, "ndcg_at_10": 0.25}
    page.route("**/page/about", lambda route: route.fulfill(json={**about, "validation": metrics}))
    page.reload()
    expect(page.locator("#quality")).to_contain_text(
        "it ranked 50% of them in the top 10 of a list of items (HR@10 0.500)"
    )
    expect(page.locator("#quality")).not_to_contain_text("chance")


def test_on_a_phone_it_makes_room_for_the_lists_of_a_user(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    expect(page.locator("#what")).to_be_visible()
    show(page, "u42")
    expect(page.locator("#what")).to_be_hidden()
    expect(page.locator("#recommended .row").first).to_be_in_viewport()
    page.get_by_text("About the model").click()
    expect(page.locator("#what")).to_be_visible()
