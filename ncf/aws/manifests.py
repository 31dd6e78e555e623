"""Manifests of container images that SageMaker accepts."""

from __future__ import annotations

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""Media type of the manifests that SageMaker accepts: one image, in Docker's format."""
ARCHITECTURE = "amd64"
"""Architecture of this project's images, and of the instances that SageMaker trains and hosts on by default."""


def manifest_fault(media_type: str) -> str:
    """Reason why SageMaker refuses a manifest; '' if it accepts it.

    Args:
        media_type: of the manifest, as the registry states it.
    """
    if media_type == DOCKER_MANIFEST:
        return ""
    kind = "an index of images" if "index" in media_type or "list" in media_type else "an image in another format"
    return f"its manifest has the type {media_type}, {kind}, and SageMaker accepts {DOCKER_MANIFEST} only"


def architecture_fault(architecture: str) -> str:
    """Reason why the default instances cannot run an image; '' if they can.

    Args:
        architecture: of the image, as its registry states it; '' if it is not known.
    """
    if architecture in (ARCHITECTURE, ""):
        return ""
    return f"it is built for {architecture}, and the instances of SageMaker are {ARCHITECTURE}"
