"""A run in a file under version control: pipeline, parameters, where it runs and when.

.. code-block:: yaml

    pipeline: ncf
    namespace: my-profile
    pipeline_root: s3://my-bucket/kfp/runs
    parameters:
      data_uri: s3://my-bucket/ratings.csv
      epochs: 5
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from components.cluster.submission import with_time
from ncf import yaml_files
from ncf.errors import InputError
from ncf.stage.suggestions import close_name

_UNKNOWN = "extra_forbidden"
_VERSION = r"[0-9a-f]{12}|\d{4}-\d\d-\d\d \d\d:\d\d"
"""What the name of a run ends with: a commit, or a time."""


class Schedule(BaseModel):
    """Times of a recurring run: one of the two."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cron: str = ""
    interval: str = ""


class RunFile(BaseModel):
    """Content of a file.

    Attributes:
        pipeline: name of the pipeline: ncf, release or recommend.
        parameters: of the pipeline, as on the command line.
        pipeline_root: URI of the artifacts; '' for the cluster's default.
        experiment: name of the experiment.
        namespace: profile of a multi-user cluster; '' for none.
        service_account: of the pods; '' for the cluster's default.
        schedule: of a recurring run; None for a run now.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    pipeline: str = "ncf"
    parameters: dict[str, Any]
    pipeline_root: str = ""
    experiment: str = "ncf"
    namespace: str = ""
    service_account: str = ""
    schedule: Schedule | None = None

    def options(self) -> dict[str, Any]:
        """The options of the command line that the file stands for.

        Raises:
            InputError: if a parameter has no value.
        """
        assignments = [f"{name}={_text(name, value)}" for name, value in self.parameters.items()]
        return {**self.model_dump(exclude={"parameters", "schedule"}), "param": assignments}


def read(path: Path, pipelines: Collection[str]) -> RunFile:
    """Read a file. Its parameters are not checked yet.

    Args:
        path: the file.
        pipelines: names of all pipelines.

    Raises:
        InputError: that names the file, the key at fault, and what is accepted.
    """
    if not path.is_file():
        raise InputError(f"file: '{path}' does not exist; expected a run in YAML, such as runs/production.yaml")
    try:
        content = yaml_files.load(path)
    except ValueError as error:
        raise InputError(f"{path}: not a file of YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, at least 'parameters'")
    try:
        given = RunFile(**{str(key): value for key, value in content.items()})
    except ValidationError as error:
        raise InputError(f"{path}: {_fault(error)}") from None
    if given.schedule and bool(given.schedule.cron) == bool(given.schedule.interval):
        raise InputError(f"{path}: 'schedule': expected either 'cron' or 'interval'")
    if given.pipeline not in pipelines:
        raise InputError(f"{path}: 'pipeline' is '{given.pipeline}'; {_hint(given.pipeline, pipelines)}")
    return given


def run_name(path: Path, commit: str) -> str:
    """Name of the run of a file: its stem and the commit; the time without a commit."""
    return f"{path.stem} {commit}" if commit else with_time(path.stem)


def is_version(name: str, path: Path) -> bool:
    """Whether a name is that of a run of a file, of this or another commit."""
    return re.fullmatch(rf"{re.escape(path.stem)} ({_VERSION})", name) is not None


def commit_of(path: Path) -> str:
    """The commit that is checked out; '' if files have changed since, or the file is not in it."""
    git = ["git", "-C", str(path.resolve().parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", path.name], check=True, capture_output=True)
        command = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return "" if found.endswith("-dirty") else found


def _text(name: str, value: Any) -> str:
    """A value as on the command line."""
    if value is None:
        raise InputError(f"parameter '{name}' has no value; expected one, or '' for none")
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        return json.dumps(value, default=str) if isinstance(value, bool | dict | list) else str(value)
    except ValueError:
        raise InputError(f"parameter '{name}' contains itself; expected a value") from None


def _fault(error: ValidationError) -> str:
    """The first fault of a file, in words. An unknown key comes first: another one may be missing because of it."""
    faults = error.errors(include_url=False)
    first = next((fault for fault in faults if fault["type"] == _UNKNOWN), faults[0])
    place = [str(part) for part in first["loc"]]
    key, model = place[-1], Schedule if place[0] == "schedule" and len(place) > 1 else RunFile
    if first["type"] == _UNKNOWN:
        return f"'{'.'.join(place)}' is not a key; {_hint(key, model.model_fields)}"
    if first["type"] == "missing":
        return f"'{key}' is missing"
    return f"'{'.'.join(place)}' is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _hint(name: str, known: Collection[str]) -> str:
    """The known name that may be meant, or all of them."""
    meant = close_name(name, known)
    return f"did you mean '{meant}'?" if meant else f"expected {', '.join(known)}"
