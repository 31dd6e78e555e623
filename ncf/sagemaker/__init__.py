"""Training jobs and endpoints: the only place that talks to SageMaker."""
