"""Looks at every width, in light and dark; what fingers and screen readers need."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .conftest import show
from .readable import assert_readable

FINGER = 44
"""Pixels, height and width (WCAG 2.2, 2.5.5)."""
CONTROLS = "button:visible, input:visible, summary:visible, [role=option]:visible, header a:visible, #back a:visible"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_it_is_readable_and_fits(page: Page, address: str, width: int, scheme: str) -> None:
    """Long titles or not."""
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("localStorage.setItem('ncf-likes', '[\"i5\", \"i1\"]')")
    page.reload()
    expect(page.locator("#likes .chips button").first).to_contain_text("longlong")
    expect(page.locator("#recommended .row").first).to_be_visible()
    assert_readable(page, width)
    page.goto(f"{address}#user=u42&item=i5")
    expect(page.locator("#similar .row").first).to_be_visible()
    expect(page.locator("#history .row").first).to_be_visible()
    assert_readable(page, width)


def test_the_buttons_of_each_row_are_in_sight_on_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{address}#user=u42&item=i5")
    expect(page.locator("#similar .row").first).to_be_visible()
    expect(page.locator("#history .row").first).to_be_visible()
    boxes = page.locator(".similar:visible, .heart:visible").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect()).map(({left, right}) => [left, right])"
    )
    assert len(boxes) == 2 * 30
    assert all(left >= 0 and right <= 360 for left, right in boxes)


def test_fingers_hit_every_control(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#recommended .heart").first.click()
    expect(page.locator("#likes .chips button")).to_have_count(1)
    page.get_by_label("Find a title").fill("title")
    expect(page.get_by_role("option")).to_have_count(8)
    assert_large(page)
    show(page, "u77")
    page.locator("#history .similar").first.click()
    expect(page.locator("#similar .row").first).to_be_visible()
    assert_large(page)


def assert_large(page: Page) -> None:
    small = page.locator(CONTROLS).evaluate_all(
        """(nodes, least) => nodes.map(node => [node.outerHTML, node.getBoundingClientRect()])
          .filter(([, box]) => box.height < least || box.width < least).map(([html]) => html)""",
        FINGER,
    )
    assert small == []


def test_every_control_has_a_name_of_its_own(page: Page) -> None:
    show(page, "u42")
    page.locator("#recommended .similar").first.click()
    expect(page.locator("#similar .row").first).to_be_visible()
    for section in ("recommended", "history", "similar"):
        row = page.locator(f"#{section} .row").nth(2)
        title = row.locator(".title").inner_text().strip()
        expect(row.get_by_role("button", name=f"Similar to {title}")).to_be_visible()
        expect(row.get_by_role("button", name=f"Like {title}")).to_be_visible()
    unnamed = page.locator("button:visible").evaluate_all(
        "nodes => nodes.filter(node => !node.textContent.trim() && !node.ariaLabel).length"
    )
    assert unnamed == 0
