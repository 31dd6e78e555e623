"""The account, for every test of launchers."""

from account_fixtures import aws, sagemaker

__all__ = ["aws", "sagemaker"]
