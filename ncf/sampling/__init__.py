"""Negative sampling: samplers, and candidates for evaluation."""
