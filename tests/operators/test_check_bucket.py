"""Check of a bucket: missing, denied, in another region; S3 is called without the assumed role."""

from __future__ import annotations

import pytest
from doctor_output import examined, failure
from fake_account import ACCOUNT, CALLER, REGION, Account


def test_s3_is_used_without_the_assumed_role(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    other = f"arn:aws:iam::{ACCOUNT}:role/other"
    examined(capsys, assume_role=other, bucket="runs", region=REGION)
    assert [(access.region, access.assume_role) for access in account.accesses] == [(REGION, other), (REGION, "")]
    account.refuse("head_bucket", "403")
    assert "to your own identity" in failure(capsys, "bucket", assume_role=other, bucket="runs")


@pytest.mark.parametrize(
    ("code", "region", "words"),
    [
        ("404", "", "there is no such bucket; 'aws s3 mb s3://runs --region us-east-1' creates it"),
        ("403", REGION, f"access is denied; allow s3:ListBucket on arn:aws:s3:::runs to {CALLER}"),
        ("403", "eu-west-1", "s3://runs is in eu-west-1, but SageMaker is called in us-east-1"),
        ("301", "eu-west-1", "give --region eu-west-1, or a bucket in us-east-1"),
        ("301", "", "s3://runs is in another region"),
        ("400", "", "AWS refused head_bucket: 400"),
    ],
)
def test_buckets_that_cannot_be_used(
    account: Account, capsys: pytest.CaptureFixture[str], code: str, region: str, words: str
) -> None:
    account.refuse("head_bucket", code, region=region)
    assert words in failure(capsys, "bucket", bucket="s3://runs/root")


def test_a_bucket_in_another_region(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.answers["head_bucket"] = {"BucketRegion": "eu-west-1"}
    assert "s3://runs is in eu-west-1" in failure(capsys, "bucket", bucket="runs")
