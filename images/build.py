"""Build, push and scan of the images, for ``make images``, ``make push`` and ``make scan``.

The build context is the folder ``build/images``. It holds the wheel of ncf, the pinned requirements, this folder and
the sources of the compiled training step. No other file of the checkout gets into an image or invalidates cached
layers.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ncf
from images.engine import builder, check_engine, image_size, run_docker
from images.push import push
from images.scan import SEVERITIES, scan
from ncf.errors import InputError, RemoteError
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
_COMMIT = re.compile(r"[0-9a-f]{12}")
"""Default tag of sources that are those of a commit."""
_NO_DATE = 315_532_800
"""1980-01-01, the earliest date in a wheel, in seconds: equal sources give equal wheels, so that layers are cached."""


@dataclass(frozen=True)
class Build:
    """Settings of a build.

    Attributes:
        tag: tag of the images.
        python_image: base of all images except ``ncf-train``; '' for the Dockerfile's default.
        train_base: base of ``ncf-train``; '' for the Dockerfile's default.
        launcher_extras: extras of pyproject.toml that ``ncf-sagemaker`` has besides its own, separated by blanks.
        wheels: folder of wheels with precedence over the package index; None for none.
    """

    tag: str
    python_image: str = ""
    train_base: str = ""
    launcher_extras: str = ""
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
    builder()
    _prepare_context(build)
    seconds = {}
    base = f"{image_name(BASE)}:{build.tag}"
    for folder in (BASE, *FOLDERS):
        start = time.monotonic()
        name = image_name(folder)
        print(f"building {name}:{build.tag}", flush=True)
        arguments = {
            BASE: {"PYTHON_IMAGE": build.python_image},
            "train": {"TRAIN_BASE": build.train_base},
            "sagemaker": {"BASE": base, "EXTRAS": build.launcher_extras},
        }.get(folder, {"BASE": base})
        if folder != BASE:
            arguments["COMMIT"] = current_tag()
        _build(folder, f"{name}:{build.tag}", arguments)
        if folder in PODS:
            _build(folder, f"{name}:{build.tag}{ROOT_SUFFIX}", arguments | {"RUN_AS": "0:0"})
        seconds[folder] = time.monotonic() - start
    return seconds


def sizes(build: Build) -> dict[str, tuple[int, int]]:
    """Size of each image and of its base, in bytes, by folder."""
    inspected = {folder: image_size(f"{image_name(folder)}:{build.tag}") for folder in (BASE, *FOLDERS)}
    bases = {"train": image_size(argument_default("train", "TRAIN_BASE", build.train_base))}
    python = image_size(argument_default(BASE, "PYTHON_IMAGE", build.python_image))
    return {folder: (size, bases.get(folder, python)) for folder, size in inspected.items()}


def local_images(tag: str) -> list[str]:
    """Names of all images except the base, including the root variants."""
    names = [f"{image_name(folder)}:{tag}" for folder in FOLDERS]
    return names + [f"{image_name(folder)}:{tag}{ROOT_SUFFIX}" for folder in PODS]


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
    command = ["build", *builder().options(name), "--file", str(dockerfile), *flags, str(CONTEXT)]
    run_docker(command, f"building {name}{on}", builder().environment())


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
    """Run a command. Exit status: 0; 2 for what the user can mend, or 1, with a message of one line."""
    from ncf.stage.exits import fail

    parser = argparse.ArgumentParser(prog="python -m images.build", description=documentation(sys.modules[__name__]))
    commands = parser.add_subparsers(required=True, dest="command")
    builder = commands.add_parser("build", help="build every image and print their sizes")
    builder.add_argument("--python-image", default="", help="base of all except ncf-train (default: the Dockerfile's)")
    builder.add_argument("--train-base", default="", help="base of ncf-train (default: the Dockerfile's)")
    builder.add_argument("--launcher-extras", default="", help="further extras of ncf-sagemaker, such as mlflow")
    builder.add_argument("--wheels", type=Path, help="folder of wheels with precedence over the package index")
    pusher = commands.add_parser("push", help="push every image to a registry")
    scanner = commands.add_parser("scan", help="wait for ECR's scan of every image, and fail on its findings")
    scanner.add_argument(
        "--fail-on", choices=SEVERITIES, default="CRITICAL", help="least severity; default: %(default)s"
    )
    scanner.add_argument("--accept", default="", help="names of accepted findings, such as CVE-2026-1234,CVE-2026-1235")
    for command in (pusher, scanner):
        command.add_argument("--registry", required=True, help="such as 111122223333.dkr.ecr.us-east-1.amazonaws.com")
    commands.add_parser("tag", help="print the default tag of the images")
    for command in (builder, pusher, scanner):
        command.add_argument("--tag", default="", help="default: the commit")
    options = parser.parse_args(arguments)
    if options.command == "tag":
        print(current_tag())
        return
    tag = options.tag or current_tag()
    try:
        if options.command == "build":
            build = Build(tag, options.python_image, options.train_base, options.launcher_extras, options.wheels)
            _print_table(build, build_all(build))
        elif options.command == "scan":
            names = [f"{options.registry.rstrip('/')}/{name}" for name in local_images(tag)]
            for line in scan(names, options.fail_on, options.accept.replace(",", " ").split()):
                print(line, flush=True)
        else:
            is_of_commit = tag == current_tag() and _COMMIT.fullmatch(tag) is not None
            print("\n".join(push(local_images(tag), options.registry, is_of_commit)))
    except InputError as error:
        fail(str(error))
    except RemoteError as error:
        fail(str(error), status=1)


if __name__ == "__main__":
    main()
