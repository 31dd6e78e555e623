"""The pipeline that releases an approved model package, run on the account of ``pipeline.py aws``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.local import account, summary
from components.local.account import ENDPOINT
from components.local.account_run import run_on_account
from components.local.console import escape
from components.local.run import ROLE, s3_prefix, with_local_endpoint

_RESULTS = {"select-package": "package.md", "deploy": "endpoint.md"}
"""Stage -> file in the folder of the run, for its summary."""


@dataclass(frozen=True)
class ReleaseRequest:
    """Options of a run: see ``pipeline.py release --help``.

    Attributes:
        package: ARN or GROUP/VERSION; '' for the latest approved one of the group.
        output: path of the link.
        arguments: of the pipeline, apart from the package.
        retry: whether a pod that fails is tried again, as on a cluster.
        account: folder of ``pipeline.py aws``.
    """

    package: str
    output: Path
    arguments: Mapping[str, Any]
    retry: bool = False
    account: Path = account.FOLDER


def run(pipeline: Any, request: ReleaseRequest, console: Console) -> str:
    """Compile and run the pipeline in a folder of its own; the output path becomes a link to it at the end.

    Args:
        pipeline: a ``dsl.pipeline``.
        request: options.
        console: for progress and results.

    Returns:
        ARN of the package that was released.

    Raises:
        InputError: if no account is up, or the package or a parameter is at fault.
        RuntimeError: if a stage failed for another reason.
    """
    folder, tasks = run_on_account(
        pipeline,
        lambda folder: {
            "package": request.package,
            "deploy_role": ROLE,
            "deploy_endpoint_name": ENDPOINT,
            "aws_s3_prefix": s3_prefix(folder),
            **with_local_endpoint(request.arguments),
        },
        request.output,
        request.account,
        "package to release",
        console,
        request.retry,
    )
    for stage, name in _RESULTS.items():
        shutil.copy(tasks[stage].outputs["summary"]["uri"], folder.path / name)
    folder.publish()
    summary.show_stages(console, tasks, list(_RESULTS))
    arn = str(tasks["select-package"].outputs["arn"])
    endpoint = str(tasks["deploy"].outputs["endpoint"])
    console.print(escape(f"Endpoint {endpoint} serves {arn}"), highlight=False, soft_wrap=True)
    summary.show_paths(console, folder, {Path(name).stem: folder.path / name for name in _RESULTS.values()})
    return arn
