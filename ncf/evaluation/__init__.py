"""Evaluation: ranking metrics, baselines, champion, confidence intervals, gate."""
