"""The page in a real browser, served by the program that an endpoint runs."""

from __future__ import annotations

import asyncio
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

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.serving.recommender import Recommender

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROGRAM = Path(__file__).parents[3] / "images" / "deploy" / "serve"
HOSTILE = '<img src=x onerror="document.title = 1"><script>document.title = 2</script>'
LONG = " " + "long" * 40
LONG_HISTORY = 103
"""Items that user u77 has seen of the 120; the others have seen 15."""
PAGE_TITLE = "NCF recommender"


def model() -> ModelFolder:
    made = random_model(n_users=120, n_items=120, positives=15)
    seen = [made.seen.of_user(user) if user != 77 else np.arange(LONG_HISTORY) for user in range(120)]
    users = np.repeat(np.arange(120), [len(items) for items in seen])
    grouped = ItemsByUser.of(users.astype(np.int32), np.concatenate(seen), 120)
    titles = (
        HOSTILE if item % 7 == 1 else "" if item == 0 else f"Title {item}{LONG if item % 5 == 0 else ''}"
        for item in range(120)
    )
    return dataclasses.replace(
        made,
        seen=grouped,
        seen_days=(grouped.items * 7 % 1000 + 18_000).astype(np.int32),
        item_titles=Strings.of(titles),
        history={
            "selection": [{"hr_at_10": 0.731, "ndcg_at_10": 0.4831}],
            "best_epoch": 1,
            "trained_at": "2026-11-25T09:30:00+00:00",
            "validation": {"positives": 120, "candidates": 99},
        },
    )


MODEL = model()
RECOMMENDER = Recommender(MODEL)
CAUSED = ("status of 404", "status of 422", "status of 503", "ERR_FAILED")
"""Errors on the console that tests cause."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(
                pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")
            )


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def launched() -> Iterator[tuple[asyncio.AbstractEventLoop, Browser]]:
    """A browser, and playwright's event loop, which counts as running in this thread from its start to its end."""
    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--process-per-site"]
        )
        asyncio._set_running_loop(None)
        yield loop, opened
        asyncio._set_running_loop(loop)
        opened.close()


@pytest.fixture
def browser(launched: tuple[asyncio.AbstractEventLoop, Browser]) -> Iterator[Browser]:
    """The browser. Its event loop rests outside the tests of this folder: others run loops of their own."""
    loop, opened = launched
    asyncio._set_running_loop(loop)
    yield opened
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def profile(launched: tuple[asyncio.AbstractEventLoop, Browser]) -> BrowserContext:
    """What all pages share: a new one would start processes for each page."""
    loop, opened = launched
    asyncio._set_running_loop(loop)
    made = opened.new_context(viewport={"width": 1100, "height": 800})
    asyncio._set_running_loop(None)
    return made


@pytest.fixture
def page(browser: Browser, profile: BrowserContext, address: str) -> Iterator[Page]:
    """The page, open; at no time may it have an error on its console, as of its policy, or ask another host."""
    opened = profile.new_page()
    opened.set_default_timeout(10_000)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.on(
        "request", lambda request: None if request.url.startswith((address, "data:")) else faults.append(request.url)
    )
    opened.goto(address)
    yield opened
    title = opened.title()
    for left in profile.pages[1:]:
        left.close()
    opened.evaluate("localStorage.clear()")
    opened.close()
    assert title == PAGE_TITLE, "a title of an item ran as a script"
    assert [fault for fault in faults if not any(cause in fault for cause in CAUSED)] == []


def label(item: str) -> str:
    """Title of an item as it is shown."""
    assert MODEL.item_titles is not None
    return MODEL.item_titles[int(item.removeprefix("i"))] or item


def titles(page: Page, section: str) -> list[str]:
    """Titles of the rows of a section."""
    return page.locator(f"#{section} .title").all_text_contents()


def items(page: Page, section: str) -> list[str]:
    """Raw ids of the rows of a section."""
    return page.locator(f"#{section} .row").evaluate_all("rows => rows.map(row => row.dataset.item)")


def show(page: Page, user: str) -> None:
    """Type a user's id and wait for the lists."""
    page.get_by_label("Show a user").fill(user)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#history")).to_be_visible()


def recommended(user: str) -> list[str]:
    """Raw ids of the items that the model recommends to a user."""
    return [item["item"] for item in RECOMMENDER.recommend([user], 10)[0]["items"]]
