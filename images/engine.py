"""The Docker engine for builds and pushes: its commands, its builder and its image store."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ncf.errors import InputError

PLATFORM = "linux/amd64"
"""The only platform of the images: SageMaker accepts no index of several platforms."""
_CONTAINERD_STORE = "io.containerd.snapshotter.v1"
_OWN_ERROR, _OWN_WARNING = "ncf: error: ", "ncf: warning: "
_SHOWN_LINES = 40


@dataclass(frozen=True)
class Builder:
    """How images are built.

    Attributes:
        has_buildkit: whether BuildKit builds them. Otherwise the legacy builder does.
        has_containerd_store: whether the engine keeps images in containerd's store, the default of Docker Desktop and
            of new installations of Docker Engine 29. It pushes manifests as they were built. The classic store pushes
            Docker's manifest types.
    """

    has_buildkit: bool
    has_containerd_store: bool

    def options(self, name: str) -> list[str]:
        """Options of ``docker build`` for an image with one platform and Docker's manifest types.

        SageMaker refuses OCI manifests and attestations, which make an index of an image.
        """
        options = ["--platform", PLATFORM, "--tag", name]
        if not self.has_buildkit:
            return [*options, "--force-rm"]  # removes the container of a failed step
        options += ["--progress=plain", "--provenance=false", "--sbom=false"]
        if self.has_containerd_store:
            options += ["--output", "type=image,oci-mediatypes=false"]
        return options

    def environment(self) -> dict[str, str]:
        """Environment of ``docker build``."""
        if not self.has_buildkit:
            return {"DOCKER_BUILDKIT": "0"}
        return {"BUILDX_BUILDER": "default", "DOCKER_BUILDKIT": "1"}  # only the engine's own builder finds ncf-base

    def push_options(self) -> list[str]:
        """Options of ``docker push``: containerd's store may push an index of an image with one platform."""
        return ["--platform", PLATFORM] if self.has_containerd_store else []


def check_engine() -> None:
    """Check that Docker is available.

    Raises:
        InputError: if the command ``docker`` is missing, or no engine answers.
    """
    if shutil.which("docker") is None:
        raise InputError("Docker is not installed: there is no command 'docker'")
    asked = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    if asked.returncode:
        raise InputError(f"no Docker engine answers: {asked.stderr.strip().splitlines()[-1]}")


@cache
def builder() -> Builder:
    """The builder of this machine: BuildKit if its client is installed, else the legacy builder.

    Raises:
        InputError: if it can write OCI manifests only.
    """
    has_buildkit = subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode == 0
    status = subprocess.run(["docker", "info", "--format", "{{json .DriverStatus}}"], capture_output=True, text=True)
    found = Builder(has_buildkit, has_containerd_store=_CONTAINERD_STORE in status.stdout)
    if found.has_containerd_store and not found.has_buildkit:
        raise InputError(
            "the Docker engine keeps images in containerd's store, where the legacy builder writes OCI manifests, and "
            "SageMaker accepts only Docker's manifest types; install the plugin docker-buildx, or set "
            '{"features": {"containerd-snapshotter": false}} in the engine\'s daemon.json'
        )
    return found


def image_size(image: str) -> int:
    """Size of an image in bytes; 0 if it is not on this machine."""
    asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True)
    return int(json.loads(asked.stdout)[0]["Size"]) if asked.returncode == 0 else 0


def run_docker(arguments: Sequence[str], what: str, variables: dict[str, str] | None = None) -> None:
    """Run a docker command.

    Args:
        arguments: arguments of ``docker``.
        what: name of the action, for messages.
        variables: further environment variables; None for none.

    Raises:
        InputError: if it fails. The message holds the error of the image's own check; without one, the output of
            Docker is printed. Warnings of the image's own checks are always printed.
    """
    environment = {**os.environ, **(variables or {})}
    ran = subprocess.run(["docker", *arguments], capture_output=True, text=True, env=environment)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout + ran.stderr).strip().splitlines() or ["failed"]
    for warning in (line.partition(_OWN_WARNING)[2] for line in lines if _OWN_WARNING in line):
        print(f"warning: {what}: {warning}", file=sys.stderr)
    if ran.returncode == 0:
        return
    if own := [line.partition(_OWN_ERROR)[2] for line in lines if _OWN_ERROR in line]:
        raise InputError(f"{what}: {own[0]}")
    print("\n".join(lines[-_SHOWN_LINES:-1]), file=sys.stderr)
    raise InputError(f"{what}: {lines[-1]}")
