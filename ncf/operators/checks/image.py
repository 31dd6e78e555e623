"""Check of a container image: it is in ECR, in the region of SageMaker, in a format that SageMaker accepts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from ncf.aws.ecr import EcrImage
from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.manifests import ARCHITECTURE, DOCKER_MANIFEST, architecture_fault, manifest_fault
from ncf.operators.checks.account import Account
from ncf.operators.checks.check import Check, FailedError

CALLS = ("ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer")
"""AWS calls of this module, from which the IAM permissions are generated."""

_MAX_CONFIG_BYTES, _TIMEOUT_SECONDS = 1 << 20, 10.0


def check(name: str, account: Account, image: str) -> Check:
    """The check of an image.

    Args:
        name: of the check.
        account: that SageMaker is called in.
        image: its reference.
    """
    found = EcrImage.of(image)
    if not found:
        return Check(name, lambda: _fail_outside_ecr(account, image))
    by_hand = (
        f"'aws ecr describe-images --registry-id {found.account} --repository-name {found.name} "
        f"--image-ids {','.join(f'{key}={value}' for key, value in found.identifier.items())} --region {found.region}'"
    )
    return Check(name, lambda: _check(account, found), "ecr:DescribeImages", by_hand)


def _fail_outside_ecr(account: Account, image: str) -> str:
    raise FailedError(
        f"{image} is not in ECR, and SageMaker pulls from ECR only: expected "
        f"ACCOUNT.dkr.ecr.{account.region}.amazonaws.com/NAME:TAG; 'make images push REGISTRY="
        f"{account.id or 'ACCOUNT'}.dkr.ecr.{account.region}.amazonaws.com' pushes this project's images"
    )


def _check(account: Account, image: EcrImage) -> str:
    region, push = account.region, _push_command(image)
    if image.region != region:
        raise FailedError(
            f"{image.text} is in {image.region}, but SageMaker is called in {region} and pulls only from that region; "
            f"'{push.replace(image.region, region, 1)}' pushes it there, or give --region {image.region}"
        )
    try:
        answer = account.call("ecr", "describe_images", **image.repository, imageIds=[image.identifier])
    except RefusedError as error:
        if error.code == "RepositoryNotFoundException":
            create = f"'aws ecr create-repository --repository-name {image.name} --region {region}'"
            raise FailedError(f"{image.text}: there is no such repository; {create}, then '{push}'") from None
        if error.code == "ImageNotFoundException":
            raise FailedError(f"{image.text}: there is no such image in the repository; '{push}' pushes it") from None
        raise
    details, architecture = answer["imageDetails"][0], ""
    fault = manifest_fault(details.get("imageManifestMediaType", "unknown"))
    if not fault:
        architecture = _architecture(account, image.repository, details["imageDigest"])
        fault = architecture_fault(architecture)
    if fault:
        raise FailedError(f"{image.text}: {fault}; '{push}' builds it for linux/{ARCHITECTURE} and pushes it again")
    return image.text if architecture else f"{image.text} (its architecture cannot be read)"


def _architecture(account: Account, repository: Mapping[str, str], digest: str) -> str:
    """Architecture of an image, by its configuration; '' if it cannot be read."""
    wanted: dict[str, Any] = {"imageIds": [{"imageDigest": digest}], "acceptedMediaTypes": [DOCKER_MANIFEST]}
    try:
        found = account.call("ecr", "batch_get_image", **repository, **wanted)["images"][0]
        config = json.loads(found["imageManifest"])["config"]["digest"]
        url = account.call("ecr", "get_download_url_for_layer", **repository, layerDigest=config)["downloadUrl"]
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            return str(json.loads(answer.read(_MAX_CONFIG_BYTES))["architecture"])
    except RefusedError as error:
        if error.code in DENIED:
            return ""
        raise
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _push_command(image: EcrImage) -> str:
    """The command that pushes this project's images to an image's registry."""
    tag = "" if image.digest else f" TAG={image.tag or 'latest'}"
    folder = image.name.rpartition("/")[0]
    return f"make images push REGISTRY={image.registry}{folder and '/'}{folder}{tag}"
