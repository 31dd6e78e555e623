"""Number formats of the reports: counts, decimals, shares and intervals."""

from __future__ import annotations

import re
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncf.evaluation.intervals import Estimate

_NUMBER = re.compile(r"[-+±]?[\d.,]+(e[-+]?\d+)?\s?%?( .{1,3} [-+]?[\d.,]+)?")


def count(value: float) -> str:
    """A whole number with thousands separators.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}"


def decimal(value: float, sign: bool = False) -> str:
    """A number with four digits after the point, as metrics are shown.

    >>> decimal(0.38764), decimal(0.01, sign=True)
    ('0.3876', '+0.0100')
    """
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage.

    >>> percent(0.3333), percent(0.3333, digits=0)
    ('33.3%', '33%')
    """
    return f"{share:.{digits}%}"


def interval(estimate: Estimate, sign: bool = False) -> str:
    """The bounds of a 95 % confidence interval.

    >>> from ncf.evaluation.intervals import Estimate
    >>> interval(Estimate(0.3, 0.25, 0.35))
    '95 % CI 0.2500 to 0.3500'
    """
    return f"95 % CI {bounds(estimate, sign)}"


def bounds(estimate: Estimate, sign: bool = False) -> str:
    """The bounds of an interval alone, for a column of a table.

    >>> from ncf.evaluation.intervals import Estimate
    >>> bounds(Estimate(0.3, 0.25, 0.35))
    '0.2500 to 0.3500'
    """
    return f"{decimal(estimate.low, sign)} to {decimal(estimate.high, sign)}"


def number(value: float) -> str:
    """A number with three significant digits, or all digits of a whole part that has more.

    >>> number(533.21), number(20), number(1.8571)
    ('533', '20', '1.86')
    """
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def is_number(cell: object) -> bool:
    """Whether a table cell is a number, a share, a range of numbers, or a number with its spread.

    >>> is_number("1,000"), is_number("4 ± 1"), is_number("neumf")
    (True, True, False)
    """
    return isinstance(cell, Real) or bool(_NUMBER.fullmatch(str(cell)))


def is_column_of_numbers(cells: list[object]) -> bool:
    """Whether a table column holds only numbers and empty cells, and at least one number."""
    shown = [cell for cell in cells if cell != ""]
    return bool(shown) and all(map(is_number, shown))
