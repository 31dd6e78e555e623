"""Hyperparameter tuning jobs: trials of a training job, and the best of them."""
