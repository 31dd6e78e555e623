"""The pipeline that recommends in batch, run on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from components.local.run import Recorder, call, compiled, executor_of, prepare, quiet_kfp
from ncf.errors import InputError
from ncf.storage import is_s3, staged

_RESULTS = {"metrics": "metrics.json", "summary": "summary.md", "recommendations": "recommendations"}


def run(
    pipeline: Any, model: str, users: str, output: Path, arguments: Mapping[str, Any], tag: str, console: Console
) -> dict[str, Any]:
    """Compile and run the pipeline; recommendations, metrics and summary lie in the output folder then.

    Those of an earlier run stay there until the new ones are complete.

    Args:
        pipeline: what ``dsl.pipeline`` makes of a function.
        model: folder that train wrote, or its URI.
        users: file of user ids, or its URI; '' for all.
        output: folder to write to.
        arguments: further ones of the pipeline.
        tag: of the images to run in containers; '' runs processes of this machine.
        console: shows how far it is.

    Returns:
        The metrics.

    Raises:
        InputError: for what the user can mend.
        RuntimeError: if the stage failed otherwise.
    """
    places = {"model": model, "users": users}
    if not model:
        raise InputError("model: none is given; expected a folder that train wrote, or its URI")
    artifacts = prepare(output, ("artifacts",), places, kept=tuple(_RESULTS.values()))["artifacts"]
    pipeline_yaml = compiled(pipeline, output, retry=False)
    own = [Path(location).resolve() for location in places.values() if location and not is_s3(location)]
    given = {
        f"{name}_uri": location if not location or is_s3(location) else str(Path(location).resolve())
        for name, location in places.items()
    }
    recorder = Recorder(console)
    with (
        executor_of(tag, pipeline_yaml, own) as executor,
        quiet_kfp(),
        executor.pods(artifacts, {}, recorder),
    ):
        call(pipeline_yaml, {**arguments, **given}, recorder)
    outputs = recorder.tasks["recommend"].outputs
    with ExitStack() as stack:  # all are at hand before the first takes its place
        for name, place in _RESULTS.items():
            shutil.move(outputs[name]["uri"], stack.enter_context(staged(output / place)))
    metrics: dict[str, Any] = json.loads((output / _RESULTS["metrics"]).read_text())
    recommendations = output.resolve() / _RESULTS["recommendations"]
    console.print(f"{metrics['rows']:,} rows for {metrics['users']:,} users: {recommendations}/parts")
    console.print(f"Summary: {output.resolve() / _RESULTS['summary']}", highlight=False, soft_wrap=True)
    return metrics
