"""Limits of exact scoring, without numpy: parameters and the ranker share them."""

EXACT_UP_TO = 20_000
"""Largest catalogue, in items, that is scored as a whole: 1 to 5 ms for a user, and no item is missed."""
CANDIDATES = 2000
"""Default lowest number of candidates in a larger catalogue. With trained models of up to a million items the top 10
are among the first 250 retrieved."""
CANDIDATES_PER_ITEM = 8
"""Lowest number of candidates per requested item."""
