"""Each image holds what its stage needs, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ncf
from images.build import BASE, FOLDERS, PODS, ROOT, ROOT_SUFFIX

MEGABYTES = 10**6
ABOVE_PYTHON = {"sagemaker": 150, "deploy": 150, "preprocess": 350, "negative_sampling": 350, "evaluate": 350}
COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "make")
LIST_PACKAGES = """
import importlib.metadata, json, pathlib, shutil, sys, sysconfig
packages = pathlib.Path(sysconfig.get_path("purelib"))
print(json.dumps({
    "versions": {entry.name.lower(): entry.version for entry in importlib.metadata.distributions(path=[str(packages)])},
    "tests": [str(path) for path in packages.rglob("tests") if path.is_dir()],
    "compilers": [name for name in sys.argv[1:] if shutil.which(name)],
    "ncf": pathlib.Path(importlib.import_module("ncf").__file__).parts[:3],
}))
"""


def contents(client: Any, name: str) -> dict[str, Any]:
    output = client.containers.run(
        name, ["python", "-c", LIST_PACKAGES, *COMPILERS], remove=True, network_mode="none", read_only=True
    )
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_packages(client: Any, image: Callable[[str], str], folder: str) -> None:
    found = contents(client, image(folder))
    installed = found["versions"]
    pins = dict(
        line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert installed.pop("ncf") == ncf.__version__
    assert {name: version.partition("+")[0] for name, version in installed.items()} == {
        name: pins[name] for name in installed
    }, "versions are the pinned ones"
    assert ("torch" in installed) == (folder == "train")
    assert not {"kfp", "sagemaker", "pytest", "moto", "docker", "pandas"} & installed.keys()
    assert ("pyarrow" in installed) == (folder == "preprocess")
    assert ("boto3" in installed) == (folder not in ("train", "deploy"))
    assert found["tests"] == []
    assert found["compilers"] == []
    assert found["ncf"] == ["/", "opt", "ncf"]


@pytest.mark.parametrize("folder", ABOVE_PYTHON)
def test_size(client: Any, image: Callable[[str], str], folder: str) -> None:
    layers = client.images.get(image(folder)).history()
    base = len(client.images.get(image(BASE)).history())
    own = [layer["Size"] for layer in layers[:-base]]
    shared = [layer["Size"] for layer in layers[-base:]]
    python = max(shared)  # the layer of the Python base, or the largest one of a base with several
    assert (sum(own) + sum(shared) - python) / MEGABYTES < ABOVE_PYTHON[folder]


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


@pytest.mark.parametrize(
    ("folder", "commands"),
    [
        ("preprocess", ["preprocess"]),
        ("negative_sampling", ["negative-sampling"]),
        ("evaluate", ["evaluate"]),
        ("sagemaker", ["train", "deploy"]),
        ("train", ["fit"]),
        ("deploy", ["serve"]),
    ],
)
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


def test_every_image_has_a_folder_and_every_folder_an_image() -> None:
    assert {path.parent.name for path in Path(ROOT / "images").glob("*/Dockerfile")} == {*FOLDERS, BASE}
