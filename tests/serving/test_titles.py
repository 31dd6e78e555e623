"""Search by title: folded, ranked, bounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import random_model

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.serving import titles as module
from ncf.serving.titles import TitleIndex, fold

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def model_of(titles: list[str], popularity: list[int] | None = None) -> ModelFolder:
    """A model with these titles, each as popular as those before it or less."""
    model = random_model(n_items=len(titles), positives=1)
    counts = np.array(popularity or range(len(titles), 0, -1), np.int64)
    return dataclasses.replace(model, item_titles=Strings.of(titles), popularity=counts)


def found(titles: list[str], query: str, limit: int = 8) -> list[str]:
    index = TitleIndex(model_of(titles))
    return [titles[item] for item in index.search(query, limit)]


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Amélie (2001)", "AMELIE"),
        ("Amelie", "amélie"),
        ("Amélie", "amélie"),
        ("Spider-Man", "spider man"),
        ("Straße", "STRASSE"),
        ("Øresund", "oresund"),
        ("Ærø", "aero"),
        ("ИСТОРИЯ игрушек", "история"),
        ("七人の侍", "の侍"),
        ("ＦＵＬＬ Metal", "full"),
        ("हिन्दी", "हिन्दी"),
        ("한국", "한국"),
        ("Heat (1995)", "1995 heat"),
        ("!!!", "!!"),
        ("Two\nlines\0", "two lines"),
    ],
)
def test_case_and_diacritics_do_not_matter(title: str, query: str) -> None:
    assert found([title, "Another"], query) == [title]


def test_titles_that_begin_so_come_first_then_words_then_parts() -> None:
    titles = ["A hospital", "Split", "Pitfall", "The It Girl", "It (2017)", "Other"]
    assert found(titles, "it") == ["It (2017)", "The It Girl", "A hospital", "Split", "Pitfall"]


def test_the_most_popular_come_first() -> None:
    model = model_of(["Star one", "Star two", "Star three"], [5, 50, 20])
    assert TitleIndex(model).search("star", 8) == [1, 2, 0]
    assert TitleIndex(model).search("", 2) == [1, 2]


def test_all_words_count_in_any_order() -> None:
    titles = ["The Lord of War", "War of the Worlds", "Lord of Worlds"]
    assert found(titles, "wor lord") == ["Lord of Worlds"]
    assert found(titles, "war the") == ["The Lord of War", "War of the Worlds"]
    assert found(titles, "war nothing") == []


def test_there_are_no_more_than_the_limit() -> None:
    assert len(found([f"Title {item}" for item in range(50)], "title", 8)) == 8


def test_an_item_without_a_title_is_found_by_its_id() -> None:
    model = dataclasses.replace(random_model(), item_titles=None)
    assert TitleIndex(model).search("I39", 8) == [39]


def test_the_work_of_a_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = [f"common {item}" for item in range(30)] + ["common rare"]
    assert found(titles, "common rar") == ["common rare"]
    monkeypatch.setattr(module, "_MAX_CHECKED", 5)
    assert found(titles, "common rar") == ["common rare"], "by how it begins"
    assert found(titles, "rar common") == []


@given(st.lists(TEXT, min_size=2, max_size=12), st.integers(0, 11), st.data())
def test_any_part_of_a_title_finds_it(titles: list[str], number: int, data: st.DataObject) -> None:
    index = TitleIndex(model_of(titles))
    folded = fold(titles[number % len(titles)])
    start = data.draw(st.integers(0, max(0, len(folded) - 1)))
    part = folded[start : data.draw(st.integers(start + 1, start + 6))]
    if fold(part):
        assert number % len(titles) in index.search(part, len(titles))
    assert len(set(index.search(part, 3))) == len(index.search(part, 3)) <= 3


@given(TEXT)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
