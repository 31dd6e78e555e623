"""Sizes up to which baselines are fitted, and their settings are chosen, in some minutes."""

EASE_MAX_ITEMS = 10_000
"""Items of EASE: the inverse in float64 takes about 3 GB and up to a minute on two cores."""
SPARSE_EASE_MAX_ITEMS = 250_000
"""Items of sparse EASE: 800 MB of counts, and some minutes."""
MAX_PAIRS = 4e9
"""Item pairs of all users whose co-occurrences are counted: about a minute."""
TUNING_USERS = 2_000
"""Validation users that settings are chosen on."""
TUNING_EASE_ITEMS = 4_000
"""Most popular items that lambda of EASE is chosen on: each inverse takes some seconds then."""
TUNING_SPARSE_EASE_ITEMS = 25_000
"""The same of sparse EASE."""
