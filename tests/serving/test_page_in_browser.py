"""The page in a real browser, served by the program that an endpoint runs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from random_model import random_model

from ncf.data.strings import Strings
from ncf.serving.recommender import Recommender

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROGRAM = Path(__file__).parents[2] / "images" / "deploy" / "serve"
HOSTILE = '<img src=x onerror="document.title = 1"><script>document.title = 2</script>'
MODEL = dataclasses.replace(
    random_model(n_users=120, n_items=60, positives=15),
    item_titles=Strings.of(
        HOSTILE if item % 7 == 1 else "" if item == 0 else f"Title {item} " + "long" * 40 * (item % 5 == 0)
        for item in range(60)
    ),
)
CAUSED = ("status of 422", "status of 503", "ERR_FAILED")
"""What tests bring about themselves."""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("endpoint")
    MODEL.save(root / "model", {}, {})
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "NCF_ML_ROOT": str(root), "NCF_PORT": str(port), "NCF_PAGE": "true"}
    process = subprocess.Popen([sys.executable, str(PROGRAM)], env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, open; it may at no time have an error on its console, as of its policy, or ask another host."""
    opened = browser.new_page(viewport={"width": 1100, "height": 800})
    opened.set_default_timeout(10_000)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.on(
        "request", lambda request: None if request.url.startswith((address, "data:")) else faults.append(request.url)
    )
    opened.goto(address)
    yield opened
    assert opened.title() == "NCF recommender", "a title of an item ran as a script"
    opened.close()
    assert [fault for fault in faults if not any(cause in fault for cause in CAUSED)] == []


def titles(page: Page, section: str) -> list[str]:
    return page.locator(f"#{section} .title").all_text_contents()


def show(page: Page, user: str) -> None:
    page.get_by_label("User", exact=True).fill(user)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#recommended")).to_be_visible()


def expected(user: str) -> tuple[list[str], list[str]]:
    recommender = Recommender(MODEL)
    best, history = recommender.recommend([user], 10)[0]["items"], recommender.history(user)
    return [item.get("title", item["item"]) for item in best], [item.get("title", item["item"]) for item in history]


def test_a_typed_user_s_recommendations_and_history(page: Page) -> None:
    show(page, "u42")
    assert (titles(page, "recommended"), titles(page, "history")) == expected("u42")


def test_users_are_picked_with_the_keyboard_alone(page: Page) -> None:
    field = page.get_by_role("combobox")
    expect(field).to_be_focused()
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
    expect(page.get_by_role("listbox")).to_be_hidden()
    assert titles(page, "recommended") == expected("u110")[0]
    for key in ("Tab", "Tab", "Tab", "Enter"):  # the button, the first item, the second
        page.keyboard.press(key)
    expect(page.locator("#similar")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#recommended .item").first).to_be_focused()


def test_escape_closes_the_list(page: Page) -> None:
    page.keyboard.type("u1")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.get_by_role("combobox")).to_have_attribute("aria-expanded", "false")


def test_users_to_begin_with(page: Page) -> None:
    first = page.locator("#some button").first
    user = first.inner_text()
    first.click()
    expect(page.get_by_role("combobox")).to_have_value(user)
    expect(page.locator("#recommended")).to_be_visible()
    assert titles(page, "recommended") == expected(user)[0]


def test_similar_items_on_click_and_the_way_back(page: Page, address: str) -> None:
    show(page, "u42")
    clicked = page.locator("#recommended .item").nth(2)
    item, name = clicked.get_attribute("data-item"), titles(page, "recommended")[2]
    clicked.click()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {name}")
    expect(clicked).to_have_attribute("aria-current", "true")
    answer = page.request.post(f"{address}invocations", data={"item": item})
    assert titles(page, "similar") == [entry.get("title", entry["item"]) for entry in answer.json()["similar"]]
    page.locator("#similar .item").first.click()
    expect(page.locator("#similar h2")).not_to_have_text(f"Similar to {name}")
    page.go_back()
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {name}")
    page.go_back()
    expect(page.locator("#similar")).to_be_hidden()
    assert titles(page, "recommended") == expected("u42")[0]


def test_a_long_history_is_folded(page: Page) -> None:
    show(page, "u42")
    items = page.locator("#history .item")
    expect(items.nth(9)).to_be_visible()
    expect(items.nth(10)).to_be_hidden()
    page.get_by_role("button", name="Show all 15").press("Enter")
    expect(items.nth(10)).to_be_focused()
    expect(items.nth(14)).to_be_visible()
    show(page, "u43")
    expect(page.get_by_role("button", name="Show all 15")).to_have_count(1)


@pytest.mark.parametrize("width", [360, 900, 1200])
def test_similar_items_come_into_view(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    show(page, "u42")
    page.locator("#recommended .item").first.click()
    expect(page.locator("#similar .item").nth(2)).to_be_in_viewport()


def test_a_link_shows_the_same_again(page: Page, address: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}#user=u42&item=i3")
    expect(page.locator("#similar h2")).to_have_text("Similar to Title 3")
    assert titles(page, "recommended") == expected("u42")[0]


def test_hostile_titles_are_shown_as_they_are(page: Page, address: str) -> None:
    page.goto(f"{address}#user=u1&item=i1")
    expect(page.locator("#similar h2")).to_have_text(f"Similar to {HOSTILE}")
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


def test_the_page_for_programmers_works_under_its_policy_too(page: Page, address: str) -> None:
    page.goto(f"{address}docs")
    page.get_by_role("button", name="Send").first.click()
    expect(page.locator("pre").first).to_contain_text("200 in")
    page.goto(address)


def test_a_stranger_is_told_what_is_shown(page: Page) -> None:
    show(page, "<b>nobody</b>")
    expect(page.get_by_role("status")).to_contain_text("does not know user <b>nobody</b>")
    expect(page.locator("#history .note")).to_have_text("No history.")
    assert len(titles(page, "recommended")) == 10


def test_an_unknown_item_is_an_error_that_leaves_the_rest(page: Page, address: str) -> None:
    page.goto(f"{address}#user=u42&item=nothing")
    expect(page.get_by_role("status")).to_contain_text("'nothing', which the model does not know")
    expect(page.locator("#recommended")).to_be_visible()
    expect(page.locator("#similar")).to_be_hidden()


def test_a_server_that_is_away_is_told_and_tried_again(page: Page) -> None:
    page.route("**/invocations", lambda route: route.abort())
    page.get_by_label("User", exact=True).fill("u42")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The server does not answer.")
    page.unroute("**/invocations")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#recommended")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_model_that_is_still_loading_is_told_and_tried_again(page: Page) -> None:
    refused = {"status": 503, "json": {"error": "the model is not loaded yet"}}
    page.route("**/page/users", lambda route: route.fulfill(**refused))
    page.reload()
    expect(page.get_by_role("status")).to_have_text("the model is not loaded yet")
    page.unroute("**/page/users")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#some button")).to_have_count(8)
    expect(page.get_by_role("status")).to_have_text("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_it_is_readable_and_fits(page: Page, address: str, width: int, scheme: str) -> None:
    """No sideways scrolling, long titles or not, and a contrast of 4.5 (WCAG 2.2, 1.4.3) of every text."""
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}#user=u42&item=i5")
    expect(page.locator("#similar .item").first).to_be_visible()
    expect(page.locator("#recommended .item").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) >= 4.5


CONTRAST = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
  };
  const texts = [...document.body.querySelectorAll("*")].filter(node => node.checkVisibility() &&
    [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  return Math.min(...texts.map(node => {
    const [dark, bright] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => a - b);
    return (bright + .05) / (dark + .05);
  }));
}"""
