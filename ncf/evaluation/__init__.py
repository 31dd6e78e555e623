"""Ranking metrics, baselines, confidence intervals, report."""
