"""Submits a package to KFP, waits for the run's end, and succeeds if the run has.

submit.py HOST PACKAGE NAME=VALUE ...          values as in YAML: 1, false, text
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import kfp
import yaml

SECONDS, PAUSE = 1_800, 5


def typed(pairs: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as a mapping."""
    return {name: yaml.safe_load(value) for name, value in (pair.split("=", 1) for pair in pairs)}


def run(host: str, package: str, arguments: Mapping[str, Any]) -> tuple[str, str]:
    """ID and final state of a run."""
    client = kfp.Client(host=host)
    started = client.create_run_from_pipeline_package(package, arguments=dict(arguments), experiment_name="kind")
    print(f"run {started.run_id}", flush=True)
    return started.run_id, client.wait_for_run_completion(started.run_id, SECONDS, PAUSE).state


def main(arguments: list[str]) -> None:
    host, package, *pairs = arguments
    run_id, state = run(host, package, typed(pairs))
    print(f"run {run_id}: {state}")
    if state != "SUCCEEDED":
        sys.exit(f"the run ended as {state}; expected SUCCEEDED")


if __name__ == "__main__":
    main(sys.argv[1:])
