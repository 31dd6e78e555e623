"""Images in ECR: references and digests."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError

CALLS = ("ecr:DescribeImages",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_log = logging.getLogger(__name__)
_REFERENCE = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z.]+)/(?P<name>[^:@\s]+)"
    r"(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
MISSING = ("RepositoryNotFoundException", "ImageNotFoundException")
"""Error codes of ECR for an image that does not exist."""


@dataclass(frozen=True)
class EcrImage:
    """Reference of an image in ECR.

    Attributes:
        text: the reference.
        registry: host of the registry.
        account: ID of the account that owns the registry.
        region: region of the registry.
        name: name of the repository.
        tag: tag; '' for none.
        digest: digest, such as ``sha256:...``; '' for none.
    """

    text: str
    registry: str
    account: str
    region: str
    name: str
    tag: str
    digest: str

    @classmethod
    def of(cls, text: str) -> EcrImage | None:
        """The image of a reference; None if it is not in ECR."""
        if not (found := _REFERENCE.fullmatch(text)):
            return None
        return cls(text, **{name: value or "" for name, value in found.groupdict().items()})

    @property
    def repository(self) -> dict[str, Any]:
        """Arguments of ECR's operations that name the repository."""
        return {"registryId": self.account, "repositoryName": self.name}

    @property
    def identifier(self) -> dict[str, str]:
        """Identifier of the image in the repository: its digest, or its tag."""
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag or "latest"}


def pinned(aws: Aws, parameter: str, image: str) -> str:
    """An image by its digest, ``REPOSITORY@sha256:...``, so that a tag that is moved later changes nothing.

    An image outside ECR, or one that may not be described, stays as it is.

    Args:
        aws: clients.
        parameter: that gives the image.
        image: reference of the image.

    Raises:
        InputError: if ECR has no such image.
    """
    found = EcrImage.of(image)
    if found is None or found.digest:
        return image
    try:
        answer = aws.call("ecr", "describe_images", **found.repository, imageIds=[found.identifier])
    except RefusedError as error:
        if error.code in MISSING:
            raise InputError(f"parameter '{parameter}' is '{image}': ECR has no such image: {error.message}") from None
        if error.code not in DENIED:
            raise
        _log.warning("image %s is recorded by its tag: %s", image, error)
        return image
    return f"{found.registry}/{found.name}@{answer['imageDetails'][0]['imageDigest']}"
