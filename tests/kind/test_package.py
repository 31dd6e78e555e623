"""A compiled pipeline, adapted to a kind cluster: its pods' variables and resources change, and nothing else."""

from __future__ import annotations

import copy
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.kind.conftest import KIND, ROOT

FORMS = ("pipeline.yaml", "pipeline.kubeflow-1.7.yaml")
VARIABLES = {"AWS_ENDPOINT_URL": "http://ncf-aws.kubeflow.svc.cluster.local:4566", "OPENBLAS_NUM_THREADS": "7"}


def read(form: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / form).read_text())
    return content


@pytest.mark.parametrize("form", FORMS)
def test_each_pod_is_given_the_variables_once(package: ModuleType, form: str) -> None:
    content = read(form)
    package.adapt(content, VARIABLES)
    containers = package.containers(content)
    assert len(containers) == 8
    for container in containers:
        names = [entry["name"] for entry in container["env"]]
        assert len(names) == len(set(names))
        assert {entry["name"]: entry["value"] for entry in container["env"]} == VARIABLES


@pytest.mark.parametrize("form", FORMS)
def test_no_pod_asks_for_more_than_a_small_node_has(package: ModuleType, form: str) -> None:
    content = read(form)
    package.adapt(content, {})
    for container in package.containers(content):
        assert container["resources"]["cpuLimit"] == 1.0
        assert container["resources"]["memoryLimit"] == 2.0
        assert container["resources"].get("resourceMemoryLimit", "2G") == "2G"


@pytest.mark.parametrize("form", FORMS)
def test_nothing_else_changes(package: ModuleType, form: str) -> None:
    before = read(form)
    after = copy.deepcopy(before)
    package.adapt(after, VARIABLES)
    for content in (before, after):
        for container in package.containers(content):
            container.pop("env", None)
            container.pop("resources", None)
    assert after == before


def test_the_command_writes_what_the_function_makes(package: ModuleType, tmp_path: Any) -> None:
    source, target = ROOT / "pipeline.yaml", tmp_path / "package.yaml"
    pairs = [f"{name}={value}" for name, value in {**VARIABLES, "WITH_SIGN": "a=b"}.items()]
    command = [sys.executable, str(KIND / "package.py")]
    subprocess.run([*command, "write", str(source), str(target), *pairs], check=True)
    expected = read("pipeline.yaml")
    package.adapt(expected, {**VARIABLES, "WITH_SIGN": "a=b"})
    assert yaml.safe_load(target.read_text()) == expected
    listed = subprocess.run([*command, "images", str(source)], check=True, capture_output=True, text=True).stdout
    assert listed.splitlines() == sorted({container["image"] for container in package.containers(expected)})
