"""Check of an image: missing, outside ECR, in another region."""

from __future__ import annotations

import re

import pytest
from doctor_output import failure
from fake_account import ACCOUNT, REGISTRY, Account


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "RepositoryNotFoundException",
            "aws ecr create-repository --repository-name team/ncf-train --region us-east-1",
        ),
        ("ImageNotFoundException", f"'make images push REGISTRY={REGISTRY}/team TAG=1.0' pushes it"),
        ("InvalidParameterException", "to check by hand: 'aws ecr describe-images"),
    ],
)
def test_images_that_are_not_there(account: Account, capsys: pytest.CaptureFixture[str], code: str, words: str) -> None:
    account.refuse("describe_images", code)
    assert words in failure(capsys, "train image", train_image=f"{REGISTRY}/team/ncf-train:1.0")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("ncf-serve:latest", f"is not in ECR.*REGISTRY={REGISTRY}' pushes this project's images"),
        (
            f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/ncf-serve:1.0",
            f"is in eu-west-1.*'make images push REGISTRY={REGISTRY} TAG=1.0' pushes it there, or give --region eu-west-1",
        ),
    ],
)
def test_images_where_sagemaker_does_not_look(
    account: Account, capsys: pytest.CaptureFixture[str], image: str, words: str
) -> None:
    assert re.search(words, failure(capsys, "deploy image", deploy_image=image))
    assert "describe_images" not in account.requests
