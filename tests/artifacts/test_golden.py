"""The comparison of an answer with the right one."""

from __future__ import annotations

import pytest

from ncf.artifacts.golden import ExpectedItem, GoldenRequest, TopKRequest
from ncf.errors import InputError

RIGHT = [("a", 5.0), ("b", 3.0), ("c", 2.0), ("d", 1.0)]
GOLDEN = GoldenRequest(
    request=TopKRequest(users=("u1",), k=4, exclude_seen=False),
    items=[ExpectedItem(item=item, score=score) for item, score in RIGHT],
)


def test_the_right_answer_passes_and_differs_by_nothing():
    assert GOLDEN.compare(RIGHT) == 0


def test_the_largest_difference_is_reported():
    assert GOLDEN.compare([("a", 5.0), ("b", 3.0005), ("c", 1.9999), ("d", 1.0)]) == pytest.approx(0.0005)


@pytest.mark.parametrize(
    "found",
    [
        [("a", 5.0), ("b", 3.0), ("d", 1.0004), ("c", 2.0)],  # the order of the answer itself is not compared
        [("a", 5.0), ("b", 3.0), ("c", 2.0), ("e", 1.0002)],  # as good as the last, which it displaced
    ],
)
def test_items_as_good_as_equal_may_swap_places(found):
    assert GOLDEN.compare(found) < 1e-3


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([("a", 5.1), *RIGHT[1:]], "user 'u1', item 'a': score 5 expected, 5.1 found"),
        ([*RIGHT[:3], ("d", 0.99)], "item 'd': score 1 expected, 0.99 found"),
        ([*RIGHT[:3], ("d", float("nan"))], "item 'd': score 1 expected, nan found"),
        ([*RIGHT[:3], ("e", float("nan"))], "item 'd': score 1 expected, item not found"),
        (RIGHT[:3], "user 'u1': 4 items expected, 3 found"),
        ([], "4 items expected, 0 found"),
        # right scores of wrong items
        ([("e", 5.0), *RIGHT[1:]], "item 'a': score 5 expected, item not found; the last that is, 'd', has 1"),
        ([("e", 5.0), ("f", 3.0), ("g", 2.0), ("h", 1.0)], "item 'a': score 5 expected, item not found"),
        # a wrong item at the last rank
        ([("e", 9.0), *RIGHT[:3]], "item 'd': score 1 expected, item not found"),
        ([("e", 9.0), ("a", 5.0), ("b", 3.0), ("d", 1.0)], "item 'c': score 2 expected, item not found"),
        ([*RIGHT[1:], ("e", 1.0)], "item 'a': score 5 expected, item not found"),
    ],
)
def test_a_wrong_answer_is_refused_with_item_and_scores(found, message):
    with pytest.raises(InputError, match=message):
        GOLDEN.compare(found)


def test_another_item_above_one_that_ties_with_the_last_is_refused():
    tied = GOLDEN.model_copy(
        update={"items": [*GOLDEN.items[:2], *(i.model_copy(update={"score": 1.0}) for i in GOLDEN.items[2:])]}
    )
    with pytest.raises(InputError, match="rank 1: item 'a' with score 5 expected, 'e' with 9 found"):
        tied.compare([("e", 9.0), ("a", 5.0), ("b", 3.0), ("d", 1.0)])


def test_small_scores_are_compared_too():
    items = [ExpectedItem(item="a", score=0.004), ExpectedItem(item="b", score=-0.004)]
    golden = GOLDEN.model_copy(update={"items": items})
    assert golden.compare([("a", 0.0041), ("b", -0.0041)]) == pytest.approx(1e-4)
    with pytest.raises(InputError, match="item 'a'"):
        golden.compare([("a", -0.004), ("b", 0.004)])


def test_ids_in_messages_are_cut_short():
    golden = GOLDEN.model_copy(update={"request": TopKRequest(users=("u" * 500,), k=4, exclude_seen=False)})
    with pytest.raises(InputError) as caught:
        golden.compare([])
    assert len(str(caught.value)) < 150
