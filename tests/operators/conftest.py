"""The account of tests/sagemaker, for what operators run."""

from account_fixtures import aws, sagemaker

__all__ = ["aws", "sagemaker"]
