"""Build and push of the images, for ``make images`` and ``make push``.

The build context is the folder ``build/images``. It holds the wheel of ncf, the pinned requirements, this folder and
the sources of the compiled training step. No other file of the checkout gets into an image or invalidates cached
layers.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ncf
from ncf.errors import InputError
from ncf.stage.documentation import documentation
from ncf.stage.registry import all_stages

ROOT = Path(__file__).parents[1]
CONTEXT = ROOT / "build" / "images"
KERNEL, COMPILED_FROM = ROOT / "ncf" / "training" / "kernel", ("pyproject.toml", "building.py", "*.cpp", "*.h")
BASE = "base"
PODS = tuple(sorted({stage.image for stage in all_stages()}))
"""Images of pods. Kubeflow 1.7 requires the user root: a variant under a second tag."""
FOLDERS = tuple(sorted(path.parent.name for path in (ROOT / "images").glob("*/Dockerfile") if path.parent.name != BASE))
"""All images except the base: the images of pods, and the two images for SageMaker."""
ROOT_SUFFIX = "-root"
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT")
"""Environment variables passed to the builds, if set."""
_OWN_ERROR, _OWN_WARNING = "ncf: error: ", "ncf: warning: "
_SHOWN_LINES = 40
_NO_DATE = 315_532_800
"""1980-01-01, the earliest date in a wheel, in seconds: equal sources give equal wheels, so that layers are cached."""


@dataclass(frozen=True)
class Build:
    """Settings of a build.

    Attributes:
        tag: tag of the images.
        python_image: base of all images except ``ncf-train``; '' for the Dockerfile's default.
        train_base: base of ``ncf-train``; '' for the Dockerfile's default.
        wheels: folder of wheels with precedence over the package index; None for none.
    """

    tag: str
    python_image: str = ""
    train_base: str = ""
    wheels: Path | None = None


def image_name(folder: str) -> str:
    """Name of the image of a folder: ``ncf-negative-sampling`` for ``negative_sampling``."""
    return f"ncf-{folder.replace('_', '-')}"


def current_tag() -> str:
    """The commit, with the suffix ``-dirty`` if files have changed; without git, the version of ncf."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ncf.__version__


def build_all(build: Build) -> dict[str, float]:
    """Build every image.

    Args:
        build: settings of the build.

    Returns:
        Seconds of each build, by folder.

    Raises:
        InputError: if there is no Docker engine, or a build fails.
    """
    check_engine()
    _prepare_context(build)
    seconds = {}
    base = f"{image_name(BASE)}:{build.tag}"
    for folder in (BASE, *FOLDERS):
        start = time.monotonic()
        name = image_name(folder)
        print(f"building {name}:{build.tag}", flush=True)
        arguments = {
            BASE: {"PYTHON_IMAGE": build.python_image},
            "train": {"TRAIN_BASE": build.train_base, "COMMIT": current_tag()},
        }.get(folder, {"BASE": base})
        _build(folder, f"{name}:{build.tag}", arguments)
        if folder in PODS:
            _build(folder, f"{name}:{build.tag}{ROOT_SUFFIX}", arguments | {"RUN_AS": "0:0"})
        seconds[folder] = time.monotonic() - start
    return seconds


def sizes(build: Build) -> dict[str, tuple[int, int]]:
    """Size of each image and of its base, in bytes, by folder."""
    inspected = {folder: _size(f"{image_name(folder)}:{build.tag}") for folder in (BASE, *FOLDERS)}
    bases = {"train": _size(argument_default("train", "TRAIN_BASE", build.train_base))}
    python = _size(argument_default(BASE, "PYTHON_IMAGE", build.python_image))
    return {folder: (size, bases.get(folder, python)) for folder, size in inspected.items()}


def push(tag: str, registry: str) -> list[str]:
    """Tag every image for a registry and push it, including the root variants.

    Args:
        tag: tag of the local images.
        registry: registry, optionally with a folder.

    Returns:
        Names of the pushed images.

    Raises:
        InputError: if no registry is given, an image is missing, or Docker fails.
    """
    if not registry:
        raise InputError("no registry: give REGISTRY=111122223333.dkr.ecr.us-east-1.amazonaws.com, with your account")
    check_engine()
    local = [f"{image_name(folder)}:{tag}" for folder in FOLDERS]
    local += [f"{image_name(folder)}:{tag}{ROOT_SUFFIX}" for folder in PODS]
    if missing := [name for name in local if _size(name) == 0]:
        raise InputError(f"there is no image {', '.join(missing)}; 'make images' builds them")
    pushed = []
    for name in local:
        target = f"{registry.rstrip('/')}/{name}"
        _docker(["tag", name, target], f"tagging {name}")
        _docker(["push", target], f"pushing {target}")
        pushed.append(target)
    return pushed


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


def _prepare_context(build: Build) -> None:
    """Create the build context anew."""
    shutil.rmtree(CONTEXT, ignore_errors=True)
    wheels = CONTEXT / "wheels"
    wheels.mkdir(parents=True)
    for wheel in sorted(build.wheels.glob("*.whl")) if build.wheels else []:
        shutil.copy2(wheel, wheels)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, CONTEXT)
    shutil.copytree(ROOT / "images", CONTEXT / "images", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    (CONTEXT / "kernel").mkdir()
    for source in (path for pattern in COMPILED_FROM for path in KERNEL.glob(pattern)):
        shutil.copy(source, CONTEXT / "kernel")
    _build_wheel()


def _build_wheel() -> None:
    """Build ncf's wheel from a copy of the sources, without leftovers of earlier builds."""
    sources = CONTEXT / "sources"
    shutil.copytree(ROOT / "ncf", sources / "ncf", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_NO_DATE)}
    command = [*pip, "--wheel-dir", str(CONTEXT), str(sources)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode:
        print(ran.stderr, file=sys.stderr)
        raise InputError("the wheel of ncf cannot be built; see the output of pip above")
    shutil.rmtree(sources)


def _build(folder: str, name: str, arguments: Mapping[str, str]) -> None:
    given = {key: value for key, value in arguments.items() if value}
    given |= {key: os.environ[key] for key in PIP_VARIABLES if os.environ.get(key)}
    flags = [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
    flags += [part for key, value in _labels(folder, name).items() for part in ("--label", f"{key}={value}")]
    dockerfile = CONTEXT / "images" / folder / "Dockerfile"
    on = "".join(f" on {arguments[base]}" for base in ("PYTHON_IMAGE", "TRAIN_BASE") if arguments.get(base))
    _docker(["build", "--tag", name, "--file", str(dockerfile), *flags, str(CONTEXT)], f"building {name}{on}")


def _labels(folder: str, name: str) -> dict[str, str]:
    """Labels of an image: https://github.com/opencontainers/image-spec/blob/main/annotations.md"""
    stage = folder.replace("_", " ")
    labels = {
        "title": name.partition(":")[0],
        "description": f"Neural Collaborative Filtering on Kubeflow and SageMaker: {stage}",
        "version": ncf.__version__,
        "licenses": "Apache-2.0",
    }
    if folder != BASE:  # a label with the commit would invalidate the cached layers of all other images
        labels["revision"] = current_tag()
    return {f"org.opencontainers.image.{key}": value for key, value in labels.items()}


def _docker(arguments: Sequence[str], what: str) -> None:
    """Run a docker command.

    Args:
        arguments: arguments of ``docker``.
        what: name of the action, for messages.

    Raises:
        InputError: if it fails. The message holds the error of the image's own check; without one, the output of
            Docker is printed. Warnings of the image's own checks are always printed.
    """
    command, environment = ["docker", *arguments], dict(os.environ)
    if arguments[0] == "build":
        options, variables = _builder()
        command[2:2] = options
        environment |= variables
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout + ran.stderr).strip().splitlines() or ["failed"]
    for warning in (line.partition(_OWN_WARNING)[2] for line in lines if _OWN_WARNING in line):
        print(f"warning: {what}: {warning}", file=sys.stderr)
    if ran.returncode == 0:
        return
    if own := [line.partition(_OWN_ERROR)[2] for line in lines if _OWN_ERROR in line]:
        raise InputError(f"{what}: {own[0]}")
    print("\n".join(lines[-_SHOWN_LINES:-1]), file=sys.stderr)
    raise InputError(f"{what}: {lines[-1]}")


@cache
def _builder() -> tuple[list[str], dict[str, str]]:
    """Options and environment of ``docker build``: BuildKit if its client is installed, else the legacy builder."""
    if subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode:
        return ["--force-rm"], {"DOCKER_BUILDKIT": "0"}  # removes the container of a failed step
    # only the engine's default builder finds ncf-base; SageMaker accepts no images with provenance attestations
    return ["--progress=plain", "--provenance=false"], {"BUILDX_BUILDER": "default"}


def _size(image: str) -> int:
    """Size of an image in bytes; 0 if it is not on this machine."""
    asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True)
    return int(json.loads(asked.stdout)[0]["Size"]) if asked.returncode == 0 else 0


def argument_default(folder: str, argument: str, given: str) -> str:
    """Value of a build argument.

    Args:
        folder: folder of the image.
        argument: name of the build argument.
        given: value; '' for the default of the Dockerfile.
    """
    lines = (ROOT / "images" / folder / "Dockerfile").read_text().splitlines()
    default = next(line for line in lines if line.startswith(f"ARG {argument}="))
    return given or default.partition("=")[2]


def _print_table(build: Build, seconds: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("image", "MB", "above its base", "seconds", title=f"tag {build.tag}")
    for column in table.columns[1:]:
        column.justify = "right"
    for folder, (size, base) in sizes(build).items():
        above = f"{(size - base) / 1e6:.0f}"
        table.add_row(image_name(folder), f"{size / 1e6:.0f}", above, f"{seconds[folder]:.1f}")
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit status: 0, or 2 with a message of one line."""
    from ncf.stage.exits import fail

    parser = argparse.ArgumentParser(prog="python -m images.build", description=documentation(sys.modules[__name__]))
    commands = parser.add_subparsers(required=True, dest="command")
    builder = commands.add_parser("build", help="build every image and print their sizes")
    builder.add_argument("--python-image", default="", help="base of all except ncf-train (default: the Dockerfile's)")
    builder.add_argument("--train-base", default="", help="base of ncf-train (default: the Dockerfile's)")
    builder.add_argument("--wheels", type=Path, help="folder of wheels with precedence over the package index")
    pusher = commands.add_parser("push", help="push every image to a registry")
    pusher.add_argument("--registry", required=True, help="such as 111122223333.dkr.ecr.us-east-1.amazonaws.com/team")
    commands.add_parser("tag", help="print the default tag of the images")
    for command in (builder, pusher):
        command.add_argument("--tag", default="", help="default: the commit")
    options = parser.parse_args(arguments)
    if options.command == "tag":
        print(current_tag())
        return
    tag = options.tag or current_tag()
    try:
        if options.command == "build":
            build = Build(tag, options.python_image, options.train_base, options.wheels)
            _print_table(build, build_all(build))
        else:
            print("\n".join(push(tag, options.registry)))
    except InputError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
