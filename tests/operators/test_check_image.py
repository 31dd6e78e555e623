"""Check of an image: missing, outside ECR, in another region."""

from __future__ import annotations

import re

import pytest
from doctor_output import examined, failure
from fake_account import ACCOUNT, DIGEST, REGISTRY, Account, image_config


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


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.oci.image.manifest.v1+json", "an image in another format"),
        ("application/vnd.oci.image.index.v1+json", "an index of images"),
        ("application/vnd.docker.distribution.manifest.list.v2+json", "an index of images"),
    ],
)
def test_manifests_that_sagemaker_refuses(
    account: Account, capsys: pytest.CaptureFixture[str], media_type: str, words: str
) -> None:
    account.answers["describe_images"] = {
        "imageDetails": [{"imageDigest": DIGEST, "imageManifestMediaType": media_type}]
    }
    finding = failure(capsys, "train image", train_image=f"{REGISTRY}/team/ncf-train:1.0")
    assert f"its manifest has the type {media_type}, {words}" in finding
    assert (
        f"'make images push REGISTRY={REGISTRY}/team TAG=1.0' builds it for linux/amd64 and pushes it again" in finding
    )


def test_an_image_for_other_machines(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.answers["get_download_url_for_layer"] = {"downloadUrl": image_config("arm64")}
    finding = failure(capsys, "train image", train_image=f"{REGISTRY}/ncf-train:1.0")
    assert "it is built for arm64" in finding
    assert account.requests["batch_get_image"][0]["imageIds"] == [{"imageDigest": DIGEST}]


def test_an_image_whose_configuration_may_not_be_read(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.refuse("batch_get_image", "AccessDeniedException")
    verdict, finding = examined(capsys, train_image=f"{REGISTRY}/ncf-train:1.0")["train image"]
    assert (verdict, finding) == ("ok", f"{REGISTRY}/ncf-train:1.0 (its architecture cannot be read)")
