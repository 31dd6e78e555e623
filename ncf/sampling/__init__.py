"""Negatives: the exclusion index, samplers, evaluation candidates."""
