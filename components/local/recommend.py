"""The pipeline that recommends in batch, run on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.local import account, summary
from components.local.console import Recorder
from components.local.run import ARTIFACTS, announce, call, compiled, executor_of, quiet_kfp, shared_account
from components.local.run_folder import RunFolder
from components.local.variables import own_environment
from ncf.errors import InputError
from ncf.stages.recommend import PARTS
from ncf.storage import is_s3

_RESULTS = {"metrics": "metrics.json", "summary": "summary.md", "recommendations": "recommendations"}


@dataclass(frozen=True)
class RecommendRequest:
    """Options of a run: see ``pipeline.py recommend --help``.

    Attributes:
        model: folder that train wrote, or its URI.
        users: file of user ids, or its URI; '' for all.
        output: path of the link.
        arguments: of the pipeline, apart from model and users.
        tag: of the images to run in containers; '' runs processes of this machine.
        account: folder of ``pipeline.py aws``, whose account is used for objects in its bucket.
    """

    model: str
    users: str
    output: Path
    arguments: Mapping[str, Any]
    tag: str = ""
    account: Path = account.FOLDER


def run(pipeline: Any, request: RecommendRequest, console: Console) -> dict[str, Any]:
    """Compile and run the pipeline in a folder of its own; the output path becomes a link to it at the end.

    The folder holds recommendations, metrics and summary then.

    Args:
        pipeline: a ``dsl.pipeline``.
        request: options.
        console: for progress and results.

    Returns:
        The metrics.

    Raises:
        InputError: if the model, the users or a parameter is at fault.
        RuntimeError: if the stage failed for another reason.
    """
    locations = {"model": request.model, "users": request.users}
    if not request.model:
        raise InputError("model: none is given; expected a folder that train wrote, or its URI")
    folder = RunFolder.create(request.output, locations)
    announce(console, folder)
    environment = _environment(request, console)
    pipeline_yaml = compiled(pipeline, folder.path, retry=False, run_id=folder.run_id)
    own = [Path(location).resolve() for location in locations.values() if location and not is_s3(location)]
    given = {
        f"{name}_uri": location if not location or is_s3(location) else str(Path(location).resolve())
        for name, location in locations.items()
    }
    with (
        own_environment() if environment else nullcontext(),
        executor_of(request.tag, pipeline_yaml, own) as executor,
        quiet_kfp(),
        Recorder(console, folder.path) as recorder,
        executor.pods(folder.path / ARTIFACTS, environment, recorder),
    ):
        call(pipeline_yaml, {**request.arguments, **given}, recorder)
    outputs = recorder.tasks["recommend"].outputs
    for name, result in _RESULTS.items():
        shutil.move(outputs[name]["uri"], folder.path / result)
    metrics: dict[str, Any] = json.loads((folder.path / _RESULTS["metrics"]).read_text())
    folder.publish()
    summary.show_stages(console, recorder.tasks, ["recommend"])
    parts = folder.path / _RESULTS["recommendations"] / PARTS
    summary.show_paths(console, folder, {"recommendations": parts, "summary": folder.path / _RESULTS["summary"]})
    return metrics


def _environment(request: RecommendRequest, console: Console) -> Mapping[str, str]:
    """Variables of the account on this machine, where the model or the users are in its bucket; otherwise none."""
    local = f"s3://{account.BUCKET}/"
    if not any(location.startswith(local) for location in (request.model, request.users)):
        return {}
    shared = shared_account(request.account, request.tag, console)
    return shared.environment if shared else {}
