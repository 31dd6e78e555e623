"""Program of the training container: ``ncf fit`` under SageMaker's contract for ``/opt/ml``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ncf.artifacts import manifest
from ncf.console_text import LogFormatter
from ncf.errors import InputError
from ncf.parameters import unquoted
from ncf.stage.execution import run
from ncf.stage.exits import fail, interruptible, reason_of
from ncf.stage.parsing import parse
from ncf.training.fit import Fit
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.launch import Hosts, is_worker, processes_per_host, run_processes

ROOT_VARIABLE, DEFAULT_ROOT = "NCF_ML_ROOT", "/opt/ml"
ADDRESSES_VARIABLE = "NCF_HOST_ADDRESSES"
"""JSON object of host names and addresses, ``HOST`` or ``HOST:PORT``, where names cannot be resolved."""

_MODULE = "ncf.training.sagemaker_program"
CHANNELS = ("dataset", "samples")
OPTIONAL_CHANNEL = "warm_start"
_PORT = 29400
_FAILURE_CHARACTERS = 1024
_OF_SAGEMAKER = ("sagemaker_", "_")
"""Prefixes of SageMaker's own hyperparameters: of its SDK, and of tuning jobs (``_tuning_objective_metric``)."""


def main() -> None:
    """Train by the files under the root.

    Exit statuses: 0; 2 for invalid input; 143 after SIGTERM; 1 for other errors. The reason of 1 and 2 is in
    ``output/failure``, which SageMaker reports.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LogFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    root = Path(os.environ.get(ROOT_VARIABLE, DEFAULT_ROOT))
    failure = root / "output" / "failure"
    if not is_worker():
        failure.unlink(missing_ok=True)
    try:
        with interruptible():
            _train(root)
    except InputError as error:
        _report(failure, str(error))
        fail(str(error))
    except SystemExit as error:
        if error.code not in (0, 128 + signal.SIGTERM):  # a process was killed, for example for lack of memory
            _report(failure, f"a training process ended with status {error.code}")
        raise
    except Exception as error:
        if reason := reason_of(error):
            _report(failure, reason)
            fail(reason)
        _report(failure, f"{type(error).__name__}: {error}")
        traceback.print_exc()
        sys.exit(1)


def _report(failure: Path, reason: str) -> None:
    """Keep the first reason: later errors of other processes follow from it."""
    with suppress(OSError):  # the file exists, or its folder does not
        failure.parent.mkdir(parents=True, exist_ok=True)
        with failure.open("x") as stream:
            stream.write(reason[:_FAILURE_CHARACTERS])


def _train(root: Path) -> None:
    if not os.access(root, os.W_OK):
        raise InputError(f"{root}: not a folder to write to; expected SageMaker's tree, or {ROOT_VARIABLE} to name one")
    config = root / "input" / "config"
    given = _read_json(config / "hyperparameters.json")
    with tempfile.TemporaryDirectory(prefix=".fit-", dir=root) as folder:
        paths = {
            **_channels(root / "input" / "data"),
            "checkpoints": root / "checkpoints",
            "trained_model": Path(folder) / "model",
            "metrics": root / "output" / "data" / "metrics.json",
        }
        arguments = fit_arguments(given, paths)
        fit = parse(Fit, arguments)
        assert isinstance(fit, Fit)
        if not is_worker():
            hosts = training_hosts(_read_json(config / "resourceconfig.json"))
            processes = processes_per_host(fit.training_settings())
            if hosts.count * processes > 1:
                run_processes(["-m", _MODULE], processes, hosts)
                return
        run(Fit, arguments)
        _install(paths["trained_model"], root / "model")


def _channels(data: Path) -> dict[str, Path]:
    """Paths of the channels; the optional one only if the job has it."""
    names = [*CHANNELS, *([OPTIONAL_CHANNEL] if (data / OPTIONAL_CHANNEL).is_dir() else [])]
    return {name: data / name for name in names}


def fit_arguments(given: Mapping[str, Any], paths: Mapping[str, Path]) -> list[str]:
    """The command line of ``ncf fit`` for SageMaker's hyperparameters, all of which are strings.

    SageMaker's own hyperparameters are ignored. SageMaker's SDK and tuning jobs write some values as JSON strings.

    Raises:
        InputError: if there are unknown hyperparameters; the message names them.
    """
    own = {name: unquoted(str(value)) for name, value in given.items() if not name.startswith(_OF_SAGEMAKER)}
    unknown = sorted(own.keys() - Hyperparameters.model_fields.keys())
    if unknown:
        expected = ", ".join(Hyperparameters.model_fields)
        raise InputError(f"unknown hyperparameters: {', '.join(unknown)}; expected some of {expected}")
    values = {**own, **paths}
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def training_hosts(resources: Mapping[str, Any]) -> Hosts:
    """The hosts of ``resourceconfig.json``; the first by name is the rendezvous.

    Raises:
        InputError: if this host is not among them.
    """
    names = sorted(resources.get("hosts", [])) or [""]
    current = resources.get("current_host", names[0])
    if current not in names:
        raise InputError(f"resourceconfig.json: current_host '{current}' is not among hosts: {', '.join(names)}")
    known = json.loads(os.environ.get(ADDRESSES_VARIABLE, "{}"))
    address, _, port = str(known.get(names[0], names[0])).partition(":")
    return Hosts(
        count=len(names),
        index=names.index(current),
        rendezvous=f"{address}:{port or _PORT}",
        interface=str(resources.get("network_interface_name", "")),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content


def _install(source: Path, destination: Path) -> None:
    """Move the files of a finished model into an existing folder. The manifest, which makes it complete, comes last."""
    destination.mkdir(parents=True, exist_ok=True)
    (destination / manifest.FILE_NAME).unlink(missing_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == manifest.FILE_NAME):
        shutil.move(path, destination / path.name)


if __name__ == "__main__":
    main()
