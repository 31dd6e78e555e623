"""Check of an S3 bucket: it exists in the region of SageMaker, and may be listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ncf.aws.errors import DENIED, RefusedError
from ncf.operators.checks.account import Account
from ncf.operators.checks.check import Check, FailedError
from ncf.storage import S3_SCHEME

CALLS = ("s3:ListBucket",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def check(account: Account, bucket: str, partition: str) -> Check:
    """The check of a bucket.

    Args:
        account: that SageMaker is called in.
        bucket: its name.
        partition: of AWS, such as ``aws``.
    """
    by_hand = f"'aws s3api head-bucket --bucket {bucket}'"
    return Check("bucket", lambda: _check(account, bucket, partition), CALLS[0], by_hand)


def _check(account: Account, bucket: str, partition: str) -> str:
    uri, region = f"{S3_SCHEME}{bucket}", account.region
    try:
        answer, refusal = account.call("s3", "head_bucket", Bucket=bucket), None
    except RefusedError as error:
        if not isinstance(error.__cause__, ClientError):
            raise
        answer, refusal = error.__cause__.response, error
    found = _region(answer)
    if (found and found != region) or (refusal and refusal.code in ("301", "PermanentRedirect")):
        raise FailedError(
            f"{uri} is in {found or 'another region'}, but SageMaker is called in {region} and uses buckets of its "
            f"own region only; give --region {found or 'REGION'}, or a bucket in {region}"
        )
    if not refusal:
        return f"{uri} in {region}"
    if refusal.code in ("404", "NoSuchBucket"):
        raise FailedError(f"{uri}: there is no such bucket; 'aws s3 mb {uri} --region {region}' creates it")
    if refusal.code in ("403", *DENIED):
        raise FailedError(
            f"{uri}: access is denied; allow s3:ListBucket on arn:{partition}:s3:::{bucket} to {account.s3_caller}, or "
            "give another bucket if this one belongs to another account"
        )
    raise refusal


def _region(answer: Mapping[str, Any]) -> str:
    """The region of a bucket, which S3 names even in a refusal; '' if it does not."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region", ""))
