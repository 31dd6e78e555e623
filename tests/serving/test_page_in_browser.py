"""The page in a real browser, served by the program that an endpoint runs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.serving.recommender import Recommender

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROGRAM = Path(__file__).parents[2] / "images" / "deploy" / "serve"
HOSTILE = '<img src=x onerror="document.title = 1"><script>document.title = 2</script>'
LONG_HISTORY = 103
"""Items that user u77 has seen of the 120; the others have seen 15."""


def model() -> ModelFolder:
    made = random_model(n_users=120, n_items=120, positives=15)
    seen = [made.seen.of_user(user) if user != 77 else np.arange(LONG_HISTORY) for user in range(120)]
    users = np.repeat(np.arange(120), [len(items) for items in seen])
    return dataclasses.replace(made, seen=ItemsByUser.of(users.astype(np.int32), np.concatenate(seen), 120))


MODEL = dataclasses.replace(
    model(),
    item_titles=Strings.of(
        HOSTILE if item % 7 == 1 else "" if item == 0 else f"Title {item} " + "long" * 40 * (item % 5 == 0)
        for item in range(120)
    ),
)
CAUSED = ("status of 404", "status of 422", "status of 503", "ERR_FAILED")
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
    expect(first).to_be_visible()
    users = page.locator("#some button").all_text_contents()
    assert users == sorted(users, key=lambda user: int(user.removeprefix("u")))
    user = first.inner_text()
    first.click()
    expect(page.get_by_role("combobox")).to_have_value(user)
    expect(page.locator("#recommended")).to_be_visible()
    assert titles(page, "recommended") == expected(user)[0]


def test_the_title_leads_back_to_the_users_to_begin_with(page: Page) -> None:
    show(page, "u42")
    expect(page.locator("#start")).to_be_hidden()
    page.get_by_role("link", name="NCF recommender").click()
    expect(page.locator("#some button")).to_have_count(8)
    expect(page.locator("#recommended")).to_be_hidden()
    expect(page.get_by_role("combobox")).to_have_value("")


def test_a_hint_stands_where_similar_items_will(page: Page) -> None:
    hint = page.get_by_text("Click an item to see those most like it.")
    expect(hint).to_be_hidden()
    show(page, "u42")
    expect(hint).to_be_visible()
    page.locator("#recommended .item").first.click()
    expect(page.locator("#similar")).to_be_visible()
    expect(hint).to_be_hidden()


def test_nothing_touches_the_rule_below(page: Page, address: str) -> None:
    """Nor the button to try again: it stands above the lists where only similar items fail."""
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


def test_a_history_of_several_answers_is_shown_to_its_end(page: Page) -> None:
    show(page, "u77")
    expect(page.locator("#history .note")).to_have_text(f"{LONG_HISTORY} items, by the model's score")
    page.get_by_role("button", name=f"Show all {LONG_HISTORY}").click()
    expect(page.locator("#history .item").nth(LONG_HISTORY - 1)).to_be_visible()
    assert titles(page, "history") == expected("u77")[1]
    assert page.locator("#history .rank").all_text_contents() == [str(n + 1) for n in range(LONG_HISTORY)]
    expect(page.locator("#history .item").nth(10)).to_be_focused()
    expect(page.locator("#history .more")).to_have_count(0)


def test_more_of_a_history_that_does_not_come_can_be_asked_for_again(page: Page) -> None:
    show(page, "u77")
    page.route("**/page/history?*", lambda route: route.abort())
    more = page.get_by_role("button", name=f"Show all {LONG_HISTORY}")
    more.click()
    expect(page.get_by_role("status")).to_have_text("The server does not answer.")
    page.unroute("**/page/history?*")
    more.click()
    expect(page.locator("#history .item").nth(LONG_HISTORY - 1)).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("")


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


def test_every_sample_for_programmers_is_answered_by_the_model_itself(page: Page, address: str) -> None:
    """Of ids that the model knows, in every form and media type; then back to the page for people."""
    page.goto(f"{address}docs")
    buttons, answers = page.get_by_role("button", name="Send"), page.locator("pre")
    expect(buttons).to_have_count(7)
    known = {f"{kind}{place}" for kind in "ui" for place in range(120)}
    for place, button in enumerate(buttons.all()):
        sample = page.get_by_label("request").nth(place).input_value()
        assert set(re.findall(r"\b[ui]\d+\b", sample)) <= known
        button.click()
        expect(answers.nth(place)).to_contain_text("200 in")
        assert not re.search("popular|unknown|null", answers.nth(place).inner_text()), sample
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
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


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


def assert_readable(page: Page, width: int) -> None:
    """No sideways scrolling, and a contrast of 4.5 (WCAG 2.2, 1.4.3) of every text."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_it_is_readable_and_fits(page: Page, address: str, width: int, scheme: str) -> None:
    """Long titles or not."""
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}#user=u42&item=i5")
    expect(page.locator("#similar .item").first).to_be_visible()
    expect(page.locator("#recommended .item").first).to_be_visible()
    assert_readable(page, width)


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
