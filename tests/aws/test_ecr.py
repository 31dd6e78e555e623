"""Images of ECR by their digest."""

from __future__ import annotations

import pytest
from fake_account import DIGEST, REGISTRY, Account

from ncf.aws.ecr import pinned
from ncf.aws.errors import RefusedError
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError

IMAGE = f"{REGISTRY}/team/ncf-deploy"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return Account()


def pin(account: Account, image: str) -> str:
    return pinned(account.open(AwsAccess()), "deploy_image", image)


@pytest.mark.parametrize(("tag", "asked"), [(":2026-11", "2026-11"), ("", "latest")])
def test_a_tag_becomes_a_digest(account: Account, tag: str, asked: str) -> None:
    assert pin(account, f"{IMAGE}{tag}") == f"{IMAGE}@{DIGEST}"
    (request,) = account.requests["describe_images"]
    assert request["repositoryName"] == "team/ncf-deploy"
    assert request["imageIds"] == [{"imageTag": asked}]


@pytest.mark.parametrize("image", ["ncf-deploy:1", "registry.example/ncf-deploy:1", f"{IMAGE}@{DIGEST}"])
def test_other_images_stay_as_they_are(account: Account, image: str) -> None:
    assert pin(account, image) == image
    assert account.requests == {}


def test_an_image_that_may_not_be_described_keeps_its_tag(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    account.refuse("describe_images", "AccessDeniedException", "no")
    assert pin(account, f"{IMAGE}:1") == f"{IMAGE}:1"
    assert "recorded by its tag" in caplog.text


@pytest.mark.parametrize("code", ["RepositoryNotFoundException", "ImageNotFoundException"])
def test_an_image_that_is_not_there_is_named(account: Account, code: str) -> None:
    account.refuse("describe_images", code, "there is none")
    with pytest.raises(InputError, match=rf"'deploy_image' is '{IMAGE}:1': ECR has no such image: there is none"):
        pin(account, f"{IMAGE}:1")


def test_other_refusals_are_raised(account: Account) -> None:
    account.refuse("describe_images", "InvalidParameterException")
    with pytest.raises(RefusedError, match="InvalidParameter"):
        pin(account, f"{IMAGE}:1")
