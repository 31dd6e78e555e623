"""Negative sampling: samplers, evaluation candidates, rounds of training negatives."""
