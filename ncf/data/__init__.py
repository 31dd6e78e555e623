"""Interactions: reading and checking them, id maps, splits, the data-set layout, synthetic data."""
