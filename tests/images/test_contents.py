"""Each image holds what its stage needs, and no more."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ncf
from images.build import BASE, FOLDERS, PODS, ROOT, ROOT_SUFFIX, argument_default
from ncf.stage.declaration import LAUNCHER
from ncf.stage.registry import all_stages

MEGABYTES = 10**6
MOST_ABOVE_PYTHON, LAUNCHER_ABOVE_PYTHON = 350, 150
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
COMMANDS = {
    **{image: [stage.command_name() for stage in all_stages() if stage.image == image] for image in PODS},
    "train": ["fit"],
    "deploy": ["serve"],
}
"""Image -> commands that it runs."""
COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "make")
ELSEWHERE = ("torch", "kfp", "sagemaker", "pytest", "moto", "docker", "pandas", "pyarrow", "boto3")
LIST_PACKAGES = """
import importlib.metadata, importlib.util, json, pathlib, shutil, sys, sysconfig
packages = pathlib.Path(sysconfig.get_path("purelib"))
names, commands = json.loads(sys.argv[1])
print(json.dumps({
    "versions": {entry.name.lower(): entry.version for entry in importlib.metadata.distributions(path=[str(packages)])},
    "modules": [name for name in names if importlib.util.find_spec(name)],
    "tests": [str(path) for path in packages.rglob("tests") if path.is_dir()],
    "commands": [name for name in commands if shutil.which(name)],
    "linked": [path.suffix for path in (packages / "ncf").rglob("*") if ".so" in path.suffixes],
    "ncf": pathlib.Path(importlib.import_module("ncf").__file__).parts[:3] if importlib.util.find_spec("ncf") else None,
}))
"""


LINKED = """
import json, os, re
from ncf.training import kernel
from ncf.training.kernel.structures import LIBRARY
print(json.dumps({
    "is_available": kernel.is_available(),
    "needed": re.findall(r"GLIBC_([0-9.]+)", LIBRARY.read_bytes().decode("latin-1")),
    "c_library": os.confstr("CS_GNU_LIBC_VERSION").split()[1],
}))
"""


def contents(client: Any, name: str) -> dict[str, Any]:
    output = client.containers.run(
        name,
        ["python", "-c", LIST_PACKAGES, json.dumps([ELSEWHERE, COMPILERS])],
        entrypoint=[],
        remove=True,
        network_mode="none",
        read_only=True,
    )
    found: dict[str, Any] = json.loads(output)
    return found


def base_of(folder: str, argument: str) -> str:
    """The image that a build stood on: make passes what it was given."""
    return argument_default(folder, argument, os.environ.get(argument, ""))


@pytest.mark.parametrize("folder", FOLDERS)
def test_packages(client: Any, image: Callable[[str], str], folder: str) -> None:
    found = contents(client, image(folder))
    installed = found["versions"]
    pins = dict(
        line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert installed.pop("ncf") == ncf.__version__
    assert installed.pop("ncf-kernel", None) == (ncf.__version__ if folder == "train" else None)
    assert {name: version.partition("+")[0] for name, version in installed.items()} == {
        name: pins[name] for name in installed
    }, "versions are the pinned ones"
    base = contents(client, base_of("train", "TRAIN_BASE") if folder == "train" else base_of(BASE, "PYTHON_IMAGE"))
    (extra,) = re.findall(r"install ([a-z][a-z-]*)\n", (ROOT / "images" / folder / "Dockerfile").read_text())
    expected = set(ELSEWHERE) & set(EXTRAS[extra])
    assert set(found["modules"]) == {*expected, *base["modules"]}, "what a base brings is the base's affair"
    assert found["commands"] == base["commands"]
    assert found["tests"] == []
    assert found["ncf"] == ["/", "opt", "ncf"]
    assert found["linked"] == ([".so"] if folder == "train" else []), "ncf's own wheel holds no compiled code"


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "train"])
def test_size(client: Any, image: Callable[[str], str], folder: str) -> None:
    sizes = [client.images.get(name).attrs["Size"] for name in (image(folder), base_of(BASE, "PYTHON_IMAGE"))]
    assert (sizes[0] - sizes[1]) / MEGABYTES < (
        LAUNCHER_ABOVE_PYTHON if folder in (LAUNCHER, "deploy") else MOST_ABOVE_PYTHON
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_settings(client: Any, image: Callable[[str], str], folder: str) -> None:
    config = client.images.get(image(folder)).attrs["Config"]
    assert not config["Entrypoint"], "Kubernetes would replace it, docker would put it before the command"
    user = config["User"]
    if folder in PODS:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, by which Kubernetes knows that it is not root"
        root = client.images.get(f"{image(folder)}{ROOT_SUFFIX}").attrs["Config"]
        assert root["User"] == "0:0"
        assert {**root, "User": "", "Image": "", "Labels": ""} == {**config, "User": "", "Image": "", "Labels": ""}
    else:
        assert user in ("", "root", "0"), "SageMaker's containers are root's"
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    assert re.fullmatch(rf"[0-9a-f]{{7,40}}(-dirty)?|{re.escape(ncf.__version__)}", labels["revision"])
    assert labels["version"] == ncf.__version__
    assert labels["title"] == image(folder).partition(":")[0]
    assert labels["licenses"] == "Apache-2.0"


@pytest.mark.parametrize(("folder", "commands"), COMMANDS.items())
def test_its_commands_run_as_anybody(
    client: Any, image: Callable[[str], str], folder: str, commands: list[str]
) -> None:
    for command in commands:
        output = client.containers.run(
            image(folder),
            ["python", "-m", "ncf", command, "--help"],
            remove=True,
            user="4321:4321",
            read_only=True,
            network_mode="none",
            cap_drop=["ALL"],
        )
        assert f"ncf {command}" in output.decode()


def test_training_s_compiled_step_loads(client: Any, image: Callable[[str], str]) -> None:
    """It is compiled in its base, by what the base has, for the base's C library, and not by this machine's."""
    found = json.loads(client.containers.run(image("train"), ["python", "-c", LINKED], remove=True))
    assert found["is_available"]
    needed = [tuple(map(int, version.split("."))) for version in found["needed"]]
    assert needed
    assert max(needed) <= tuple(map(int, found["c_library"].split(".")))


def test_every_image_has_a_folder_and_every_folder_an_image() -> None:
    assert {path.parent.name for path in Path(ROOT / "images").glob("*/Dockerfile")} == {*FOLDERS, BASE}
