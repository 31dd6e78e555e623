"""Remarks on the split for the report."""

from __future__ import annotations

LEAK = (
    "Leave-one-out leaks the future: what other users did after a held-out interaction is in the training "
    "data, which a hosted model would not have had. The temporal split does not."
)
"""Remark on leave-one-out."""


def about_split(name: str, timed: bool, seed: int) -> str:
    """Remark on a split.

    Args:
        name: of the split.
        timed: whether there are times.
        seed: of the split.
    """
    if name == "temporal":
        return (
            "Everything from a date on is held out, so that training sees nothing of the future. Held-out "
            "interactions of users or items that do not occur in training are dropped."
        )
    how = (
        "Each user's latest item is held out for test and the one before it for validation; the order of items at the "
        f"same time is drawn by seed {seed}."
        if timed
        else f"A test and a validation item of each user are drawn by seed {seed}."
    )
    return f"{how} {LEAK}"
