"""Training jobs: creation, logs, failures, shutdown, cost."""
