"""Candidates of a data set as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.dataset import Dataset
from ncf.errors import InputError
from ncf.sampling.candidates import draw_candidates

REPEATED: dict[str, Callable[[Dataset], Dataset]] = {
    "test in training": lambda data: dataclasses.replace(
        data, test=np.stack([data.test[:, 0], data.train.items[data.train.offsets[:-1]]], axis=1)
    ),
    "test in validation": lambda data: dataclasses.replace(data, test=data.validation),
    "test twice": lambda data: dataclasses.replace(data, test=np.repeat(data.test, 2, axis=0)),
}


@pytest.mark.parametrize("case", REPEATED)
def test_a_positive_given_more_than_once_is_refused(case: str, make_dataset: Callable[..., Path]) -> None:
    data = Dataset.load(make_dataset())
    with pytest.raises(
        InputError, match=r"^30 of \d+ positives .* more than once; expected each pair of user and item"
    ):
        draw_candidates(REPEATED[case](data), 5, "uniform", 1, "")
