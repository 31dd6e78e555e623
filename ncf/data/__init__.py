"""Interactions: reading, checks, ids, filters, split, NCF release format, synthetic data."""
