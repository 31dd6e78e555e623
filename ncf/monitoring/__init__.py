"""Figures of a live endpoint from its captured requests and answers: traffic, drift, outcomes and their limits."""
