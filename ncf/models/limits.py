"""How much of a catalogue is scored exactly for a user: what parameters and the scorer share, without numpy."""

EXACT_UP_TO = 20_000
"""Items of a catalogue that is scored as a whole: 1 to 5 ms for a user, and no item is missed."""
CANDIDATES = 2000
"""Items at least of a larger one: on trained models, even of a million items, the ten best are among the 250 that
come first in retrieval."""
CANDIDATES_A_PLACE = 8
"""The same for each item that is asked for."""
