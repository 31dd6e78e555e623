"""The population stability index, and what chance explains of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from captured import population
from scipy.stats import chi2

from ncf.monitoring.drift import MIN_EFFECTIVE, Histogram, chi_square, drift, effective_size
from ncf.monitoring.population import UNKNOWN, Groups

RNG = np.random.default_rng(7)


def histogram(*counts: int, effective: float = 1e9) -> Histogram:
    return Histogram("users", [str(number) for number in range(len(counts))], counts, effective)


def test_the_index_by_hand() -> None:
    found = drift(histogram(30, 70), histogram(50, 50))
    assert found is not None
    assert found.psi == pytest.approx(-0.2 * math.log(0.6) + 0.2 * math.log(1.4))
    same = drift(histogram(5, 5), histogram(50, 50))
    assert same is not None
    assert same.psi == 0


def test_a_group_without_training_data_is_not_infinitely_far() -> None:
    found = drift(histogram(90, 10), histogram(100, 0))
    assert found is not None
    assert found.psi == pytest.approx((0.9 - 1) * math.log(0.9) + (0.1 - 0.05) * math.log(0.1 / 0.05))
    emptied = drift(histogram(100, 0), histogram(90, 10))
    assert emptied is not None
    assert emptied.psi == pytest.approx((1 - 0.9) * math.log(1 / 0.9) + (0.01 - 0.1) * math.log(0.01 / 0.1))


def test_too_few_observations_and_other_groups_are_not_compared() -> None:
    assert drift(histogram(5, 5, effective=MIN_EFFECTIVE - 1), histogram(5, 5)) is None
    assert drift(histogram(5, 5), histogram(5, 5, effective=MIN_EFFECTIVE - 1)) is None
    assert drift(histogram(5, 5, 5), histogram(5, 5)) is None


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 20])
def test_the_quantile_is_not_below_the_exact_one(freedom: int) -> None:
    exact = chi2.isf(1e-6, freedom)
    assert exact <= chi_square(freedom) <= exact * 1.16
    assert chi_square(0) == 0


def test_chance_stays_below_its_bound() -> None:
    shares = np.full(10, 0.1)
    reference = RNG.multinomial(3000, shares)
    for n in (60, 300, 3000):
        for counts in RNG.multinomial(n, shares, 300):
            found = drift(histogram(*counts.tolist(), effective=n), histogram(*reference.tolist(), effective=3000))
            assert found is not None
            assert found.is_by_chance


def test_the_mean_index_without_drift_is_the_one_of_the_source() -> None:
    shares, n = np.full(10, 0.1), 2000
    samples = RNG.multinomial(n, shares, (200, 2))
    found = [drift(histogram(*now.tolist()), histogram(*before.tolist())) for now, before in samples]
    assert np.mean([one.psi for one in found if one]) == pytest.approx(9 * (1 / n + 1 / n), rel=0.1)


def test_requests_of_one_user_are_worth_one() -> None:
    assert effective_size(np.array([1000])) == 1
    assert effective_size(np.ones(50, int)) == 50
    assert effective_size(np.array([2, 2, 0])) == 2
    assert effective_size(np.array([0]), singles=7) == 7
    assert effective_size(np.zeros(3, int)) == 0


def test_each_group_has_about_a_tenth_of_the_training_data() -> None:
    counts = np.sort(RNG.integers(1, 40, 500))
    groups = Groups.of("items", {f"i{item}": item for item in range(500)}, counts, 1e6)
    shares = groups.reference.shares()
    assert groups.reference.labels[-1] == UNKNOWN
    assert shares[-1] == 0
    assert np.abs(shares[:-1] - 0.1).max() < 0.02
    assert groups.group[-1] == 0, "the most frequent item is in the first group"


def test_one_item_with_most_of_the_training_data() -> None:
    known = population({"u0": 5, "u1": 5}, {"i0": 90, "i1": 5, "i2": 5})
    assert list(known.items.group) == [0, 1, 1]
    assert list(known.items.reference.counts) == [90, 10, 0]


def test_counts_by_group() -> None:
    known = population({"u0": 1}, {"i0": 90, "i1": 5, "i2": 5})
    found = known.items.histogram("served_items", np.array([1, 2, 3, 4]), 10.0)
    assert list(found.counts) == [1, 5, 4]
    assert found.labels == known.items.reference.labels
