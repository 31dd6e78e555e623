"""The page that shows what changes for users: its numbers are those of the lists, and nothing in it is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape

import pytest
from evaluate_stage import undrawn
from random_model import random_model

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.evaluation.diff import diff
from ncf.evaluation.intervals import Estimate
from ncf.reports.diff import DiffReport, absence_page

HOSTILE = "<script>alert(1)</script>|`x`"
USERS, ITEMS = 60, 80


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with undrawn():
        yield


def model_of(seed: int, user: str = "u", title: str = "Title") -> ModelFolder:
    return replace(
        random_model("gmf", n_users=USERS, n_items=ITEMS, seed=seed),
        user_ids=Strings.of(f"{user}{number}" for number in range(USERS)),
        item_titles=Strings.of(f"{title} {number}" for number in range(ITEMS)),
    )


def report(before: ModelFolder, after: ModelFolder, name: str = "shop version 1") -> DiffReport:
    found = diff(before, after, USERS, 0)
    groups = found.of_groups(None, 100, 0) if len(found.users) else ()
    return DiffReport(found, groups, name, "shop version 2", None, "No samples are given.", 0)


def tables_of_users(page: str) -> list[str]:
    return re.findall(r"<table>\n<caption>User .*?</table>", page, re.DOTALL)


def test_what_stays_comes_and_goes_is_that_of_the_lists() -> None:
    shown = report(model_of(1), model_of(2))
    page, found = shown.html(), shown.difference
    assert shown.verdict in page
    assert f'<div class="value">{found.overlap.mean():.0%}</div>' in page
    tables = tables_of_users(page)
    assert len(tables) == 20
    for table in tables:
        user, stays = re.search(r"<caption>User u(\d+): (\d+) of 10 items stay", table).groups()  # type: ignore[union-attr]
        row = found.users.tolist().index(int(user))
        before, after = (set(lists[row].tolist()) for lists in (found.lists_before, found.lists_after))
        assert len(before & after) == int(stays)
        for tone, sign, items in (("bad", "−", before - after), ("good", r"\+", after - before)):
            marked = re.findall(rf'<td class="{tone}">{sign} Title (\d+)</td>', table)
            assert set(map(int, marked)) == items


def test_ids_titles_and_names_are_text() -> None:
    shown = report(model_of(1, HOSTILE, HOSTILE), model_of(2, HOSTILE, HOSTILE), name=HOSTILE)
    page = shown.html()
    assert "<script" not in page
    assert escape(HOSTILE) in page
    assert len(tables_of_users(page)) == 20
    assert "<script" not in absence_page(HOSTILE)
    assert escape(HOSTILE) in absence_page(HOSTILE)


def test_the_difference_of_ndcg_is_explained_only_where_it_is_shown() -> None:
    explained, without = "NDCG@10 is the difference", report(model_of(1), model_of(2))
    assert explained not in without.html()
    estimate = Estimate(0.01, -0.01, 0.03)
    measured = tuple(replace(group, ndcg=estimate) for group in without.groups)
    assert explained in replace(without, groups=measured).html()


def test_models_without_a_common_user_have_no_lists() -> None:
    shown = report(model_of(1), model_of(2, user="other"))
    page = shown.html()
    assert "No user is known to both models" in page
    assert f"{USERS} are known to the model before only and {USERS} are known to the model after only" in page
    assert "side by side" not in page
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower()


def test_a_model_beside_itself_changes_nothing() -> None:
    model = model_of(1)
    page = report(model, model).html()
    assert "No list changes" in page
    assert "Each item is in as many lists as before." in page
    assert 'class="good"' not in page
    assert 'class="bad"' not in page
