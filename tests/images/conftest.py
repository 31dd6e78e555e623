"""Docker's engine, the images that were built, and a data set for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from components.local.aws.engine import LABEL, Engine
from images.build import FOLDERS, PODS, ROOT_SUFFIX, current_tag, image_name
from tests.images.small_data import prepare

WITHOUT_ENGINE = ("test_build.py", "test_push.py")
"""Tests with a stand-in for the engine."""
TAG = os.environ.get("NCF_TEST_TAG") or current_tag()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.name not in WITHOUT_ENGINE:
            item.add_marker(pytest.mark.docker)


@dataclass(frozen=True)
class Data:
    """Interactions, and what the first two stages make of them."""

    interactions: Path
    items: Path
    dataset: Path
    samples: Path


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """Docker's own client, to look at images and containers from outside."""
    made = docker.from_env()
    names = [f"{image_name(folder)}:{TAG}" for folder in FOLDERS]
    names += [f"{image_name(folder)}:{TAG}{ROOT_SUFFIX}" for folder in PODS]
    for name in names:
        made.images.get(name)  # all are here, or none of these tests means anything
    yield made
    made.close()


@pytest.fixture
def engine(client: Any) -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()
    assert not left_behind(client, made.run)


def environment_of_runs() -> dict[str, str]:
    """Of a whole run: without the one thread of BLAS that tests have, as containers take all, and sums round otherwise."""
    return {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}


def left_behind(client: Any, run: str = "") -> list[str]:
    """Names of the containers and networks of a run, or of any run."""
    label = f"{LABEL}={run}" if run else LABEL
    found = [
        *client.containers.list(all=True, filters={"label": label}),
        *client.networks.list(filters={"label": label}),
    ]
    return [entry.name for entry in found]


@pytest.fixture(scope="session")
def image() -> Callable[[str], str]:
    """The full name of an image: ``image("train")``."""
    return lambda folder: f"{image_name(folder)}:{TAG}"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    prepare(folder)
    return Data(folder / "interactions.csv", folder / "items.csv", folder / "dataset", folder / "samples")
