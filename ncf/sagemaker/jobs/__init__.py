"""What the jobs of SageMaker have in common: creation, logs, failures, shutdown, cost."""
