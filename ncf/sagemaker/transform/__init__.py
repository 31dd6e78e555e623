"""Batch transform jobs: predictions of a model for all objects under a prefix."""
