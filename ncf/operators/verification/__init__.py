"""Proof of a model: the chain of fingerprints from raw data to weights, and a new fit with the recorded settings."""
