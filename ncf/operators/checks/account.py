"""The AWS account and region of the checks, and the check of the credentials."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError
from ncf.operators.checks.check import Check, FailedError

CALLS = ("sts:GetCallerIdentity",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_LOG_IN = "'aws configure' or 'aws sso login' obtains credentials, AWS_PROFILE selects a profile, --region a region"


class Account:
    """The account and region in which SageMaker is called.

    Attributes:
        has_credentials: False once the credentials have turned out to be invalid.
        caller: ARN of the caller, once it is known.
        id: account ID, once it is known; '' before.
    """

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self.has_credentials = True
        self.caller, self.id = "the caller", ""

    @cached_property
    def aws(self) -> Aws:
        return Aws(self._access)

    @cached_property
    def _aws_for_s3(self) -> Aws:
        """Stages call S3 under their own identity, even where they assume a role for SageMaker."""
        return Aws(self._access.model_copy(update={"assume_role": ""})) if self._access.assume_role else self.aws

    @property
    def region(self) -> str:
        return self.aws.region

    @property
    def s3_caller(self) -> str:
        return "your own identity, as no role is assumed for S3" if self._access.assume_role else self.caller

    def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """A call without retries: a check reports the present state."""
        aws = self._aws_for_s3 if service == "s3" else self.aws
        return aws.call(service, operation, patience=0.0, **request)

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[dict[str, Any]]:
        """The pages of a call that lists, without retries."""
        return self.aws.pages(service, operation, patience=0.0, **request)

    def check(self) -> Check:
        """The check of the credentials, to be made first."""
        return Check("credentials", self._identify)

    def _identify(self) -> str:
        try:
            _ = self.region  # STS would answer without one
            identity = self.call("sts", "get_caller_identity")
        except InputError as error:
            self.has_credentials = False
            raise FailedError(f"{error}; {_LOG_IN}") from None
        except RemoteError as error:
            if isinstance(error.__cause__, (HTTPClientError, NoConnectionError)):
                raise
            self.has_credentials = False
            raise FailedError(f"{error}; {self._advice(error)}") from None
        self.id, self.caller = identity["Account"], str(identity["Arn"])
        return self.caller

    def _advice(self, error: RemoteError) -> str:
        role = self._access.assume_role
        if role and isinstance(error, RefusedError) and error.code in DENIED:
            return f"name yourself in the trust policy of {role}, and allow sts:AssumeRole on it in your own policy"
        return f"the credentials may be wrong or expired: {_LOG_IN}"
