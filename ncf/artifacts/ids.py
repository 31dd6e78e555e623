"""Raw ids: the one rule by which interactions, titles, lists of users and requests read them."""

from __future__ import annotations

_FLOAT_ENDING = ".0"
_WORDS = ("none", "null", "nan", "-nan", "n/a", "#n/a", "<na>")
_MISSING = frozenset(
    ["", "NA", "NaN", "\\N", *(form for word in _WORDS for form in (word, word.upper(), word.capitalize()))]
)
MAX_ID_LENGTH = 512
"""Characters of a raw id: in training, at the endpoint and in batch."""
MAX_TITLE_LENGTH = 500
"""Characters of a title; preprocess cuts longer ones. It bounds the answers of the endpoint."""
_MAX_DIGITS = 1000  # Python parses integers of some thousand digits at most


def canonical_id(text: str) -> str:
    """Raw id that a text stands for, or '' for a missing value.

    - White space around the id is removed: ``'C1   '`` is ``'C1'``.
    - A whole number with ``.0`` is that number: ``'42.0'`` is ``'42'``. pandas writes integers so, if the column has
      missing values.
    - Empty text and the words that programs write for a missing value are missing: ``None``, ``null``, ``nan``,
      ``NA``, ``N/A``, ``#N/A``, ``<NA>`` and ``\\N``.

    All else stays as it is: ``'007'``, ``'1e5'``, capital letters, forms of Unicode. The id of an id is itself.

    Args:
        text: as it is in a file or a request. Other types are converted by ``str`` first.
    """
    text = text.strip()
    if text in _MISSING:
        return ""
    if text.endswith(_FLOAT_ENDING) and is_integer(whole := text.removesuffix(_FLOAT_ENDING)):
        return whole
    return text


def is_integer(text: str) -> bool:
    """Whether text is an integer as Python prints it, so that '7' and '07' stay two ids."""
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS
    return plain and (digits == "0" or digits[0] != "0") and text != "-0"
