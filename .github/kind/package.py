"""Adaptation of a compiled pipeline to a kind cluster: environment variables of its pods, and less CPU and memory.

package.py images PACKAGE                          prints the images of its pods
package.py write PACKAGE TARGET NAME=VALUE ...     writes the pipeline with the variables in every pod

All versions of KFP support ``env`` of a container. Secrets in pods require the platform spec of KFP 2.0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SMALL = {"cpuLimit": 1.0, "memoryLimit": 2.0, "resourceCpuLimit": "1", "resourceMemoryLimit": "2G"}
"""Resources of the smallest pods. The largest pods do not fit on a node of four CPUs together with KFP."""


def containers(package: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Containers of the executors of a package. Changes to them change the package."""
    return [entry["container"] for entry in package["deploymentSpec"]["executors"].values() if "container" in entry]


def images(package: Mapping[str, Any]) -> list[str]:
    """Distinct names of the images of its pods, sorted."""
    return sorted({container["image"] for container in containers(package)})


def adapt(package: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """Set environment variables and the smallest resources in every pod."""
    for container in containers(package):
        kept = [entry for entry in container.get("env", []) if entry["name"] not in variables]
        container["env"] = kept + [{"name": name, "value": value} for name, value in variables.items()]
        resources = container.get("resources", {})
        resources |= {name: SMALL[name] for name in resources}


def main(arguments: list[str]) -> None:
    command, source, *rest = arguments
    package = yaml.safe_load(Path(source).read_text())
    if command == "images":
        print("\n".join(images(package)))
        return
    target, *pairs = rest
    adapt(package, dict(pair.split("=", 1) for pair in pairs))
    Path(target).write_text(yaml.safe_dump(package, sort_keys=True, width=10_000))


if __name__ == "__main__":
    main(sys.argv[1:])
