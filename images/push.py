"""Push of the images to a registry, and the check of what the registry holds afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from images.engine import builder, check_engine, image_size, run_docker
from ncf.aws.manifests import architecture_fault, manifest_fault
from ncf.errors import InputError, RemoteError

# what ECR says
_NO_REPOSITORY, _IMMUTABLE = "does not exist in the registry", "cannot be overwritten"


def push(names: Sequence[str], registry: str, is_of_commit: bool = False) -> list[str]:
    """Tag images for a registry, push them, and check what the registry holds.

    Args:
        names: names of local images, with their tags.
        registry: registry, optionally with a folder.
        is_of_commit: whether the tags stand for the sources of a commit. An image that a registry with immutable tags
            has already is then not an error: an earlier push of the same commit was interrupted.

    Returns:
        Names of the pushed images.

    Raises:
        InputError: if no registry is given, an image is missing, Docker fails, or SageMaker would refuse an image.
        RemoteError: if the registry does not say what it holds.
    """
    if not registry:
        raise InputError("no registry: give REGISTRY=111122223333.dkr.ecr.us-east-1.amazonaws.com, with your account")
    check_engine()
    if missing := [name for name in names if image_size(name) == 0]:
        raise InputError(f"there is no image {', '.join(missing)}; 'make images' builds them")
    options = builder().push_options()
    pushed = []
    for name in names:
        target = f"{registry.rstrip('/')}/{name}"
        run_docker(["tag", name, target], f"tagging {name}")
        _push(target, options, is_of_commit)
        check_pushed(target)
        pushed.append(target)
    return pushed


def _push(target: str, options: Sequence[str], is_of_commit: bool) -> None:
    try:
        run_docker(["push", *options, target], f"pushing {target}")
    except InputError as error:
        if _NO_REPOSITORY in str(error):
            raise InputError(
                f"{error}; the set-up stack makes a repository for each image: deploy components/cluster/setup.yaml, "
                "again if this version has a new image"
            ) from None
        if _IMMUTABLE not in str(error):
            raise
        if not is_of_commit:
            raise InputError(f"{error}; build and push the images with another TAG") from None
        print(f"{target} was pushed before, from the same commit, and stays as it is", file=sys.stderr)


def check_pushed(image: str) -> None:
    """Check that SageMaker can run what a registry holds.

    Args:
        image: name of the image in the registry, with its tag.

    Raises:
        InputError: if its manifest is not one of a single image in Docker's format, or it is for other machines.
        RemoteError: if the registry does not answer.
    """
    held = _held(image)
    fault = manifest_fault(str(held["Descriptor"]["mediaType"]))
    fault = fault or architecture_fault(", ".join(entry["architecture"] for entry in held.get("Platforms") or ()))
    if fault:
        raise InputError(
            f"{image}: {fault}; the image was not built by this version of 'make images': 'make images push' with the "
            "same REGISTRY and TAG builds and pushes it again"
        )


def _held(image: str) -> dict[str, Any]:
    """The registry's description of an image: ``Descriptor`` of its manifest, and ``Platforms``."""
    import docker

    try:
        client = docker.from_env(environment=_engine_environment())
        try:
            held: dict[str, Any] = client.api.inspect_distribution(image)
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as error:
        reason = " ".join(str(getattr(error, "explanation", None) or error).split())
        raise RemoteError(f"{image} is pushed, but the registry does not say what it holds: {reason}") from None
    return held


def _engine_environment() -> dict[str, str]:
    """Environment with the address of the engine that the command ``docker`` uses, which a context may name."""
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    address = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return {**({"DOCKER_HOST": address} if address else {}), **os.environ}
