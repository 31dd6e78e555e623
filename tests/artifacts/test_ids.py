"""The rule for raw ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf.artifacts.ids import canonical_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", "42"), ("42.0", "42"), ("-3.0", "-3"), ("0.0", "0"), (" C1  ", "C1"), ("\tC1\r\n", "C1"),
        ("\u00a0C1\u3000", "C1"), (" 42.0 ", "42"), ("9223372036854775807.0", "9223372036854775807"),
    ],
)  # fmt: skip
def test_a_text_stands_for_an_id(text: str, expected: str) -> None:
    assert canonical_id(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "None", "none", "NONE", "nan", "NaN", "NAN", "null", "NULL", "Null", "NA", "N/A", "<NA>", "\\N", " nan "],
)
def test_a_missing_value_is_no_id(text: str) -> None:
    assert canonical_id(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "007", "007.0", "-0.0", "1e5", "1E+12", "42.00", "42.5", "1.2.0", ".0", "v1.0", "+5.0", "\u0663.0", "1,234",
        "Nanny", "nonesuch", "na", "a b", "cafe\u0301", "caf\u00e9", "\u00c5", "123456789012345678901234567890",
    ],
)  # fmt: skip
def test_all_else_is_the_id_itself(text: str) -> None:
    assert canonical_id(text) == text


@given(st.text() | st.from_regex(r"\s?-?[0-9]{1,3}(\.0){0,2}\s?", fullmatch=True))
def test_the_id_of_an_id_is_itself(text: str) -> None:
    assert canonical_id(canonical_id(text)) == canonical_id(text)
