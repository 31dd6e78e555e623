"""Pipelines on a Kubeflow cluster: submission, uploads, schedules, and the set-up of its account."""
