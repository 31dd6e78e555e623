"""Outcome of a pipeline run, and its notification."""
