"""Flags of ``pipeline.py run``, ``release``, ``recommend``, ``monitor`` and ``aws``: what runs on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.compiling.arguments import parse_arguments, split_assignments
from components.local import account
from components.local.account import ENDPOINT
from ncf.errors import InputError
from ncf.parameters import read

_PARAMETERS = {
    "run": "a parameter of the pipeline (train_epochs), or of training, its job or the endpoint (epochs, dropout)",
    "release": "a parameter of the pipeline (registry_group), or of the endpoint (traffic_shift)",
    "recommend": "a parameter of the pipeline (top_k)",
    "monitor": "a parameter of the pipeline (max_psi)",
}
_SAMPLE_FAULT = '{"kind": "interrupt", "name": "ncf-train", "after_line": "epoch=2"}'


def add(commands: Any, pipelines: Mapping[str, Any]) -> None:
    """Add the commands to the parser of ``pipeline.py``.

    Args:
        commands: the subparsers.
        pipelines: each pipeline by name: ``ncf``, ``release``, ``recommend`` and ``monitor``.
    """
    described = {
        "run": (_run, "run the pipeline on this machine, with S3 and SageMaker answered locally"),
        "release": (_release, "release an approved model package to an endpoint of the account of 'aws'"),
        "recommend": (_recommend, "run the pipeline that recommends to all users, or a list, on this machine"),
        "monitor": (_monitor, "tell how an endpoint of the account of 'aws' does, by the pipeline for it"),
    }
    made = {}
    for name, (function, text) in described.items():
        made[name] = commands.add_parser(name, help=text, description=text)
        made[name].set_defaults(function=function, pipelines=pipelines)
    made["run"].add_argument(
        "--data", default="", help="interactions: a file, a folder or an s3:// URI; generated if absent"
    )
    made["run"].add_argument("--items", default="", help="titles of the items: a file or an s3:// URI")
    made["release"].add_argument(
        "--package", default="", help="ARN or GROUP/VERSION (default: the latest approved one of registry_group)"
    )
    made["recommend"].add_argument("--model", default="", help="folder that train wrote, or its s3:// URI")
    made["recommend"].add_argument("--users", default="", help="file of user ids, one a line (default: all users)")
    made["monitor"].add_argument(
        "--endpoint", default="", help=f"name of the endpoint (default: that of 'release', {ENDPOINT})"
    )
    made["monitor"].add_argument(
        "--interactions", default="", help="later interactions: a file, a folder or an s3:// URI of the account"
    )
    for name in made:
        made[name].add_argument(
            "--output",
            type=Path,
            default=Path(f"output/{name}"),
            help="link to the latest run that succeeded; each run writes to OUTPUT-TIME-ID beside it "
            "(default: %(default)s)",
        )
        made[name].add_argument(
            "--account",
            type=Path,
            default=account.FOLDER,
            metavar="FOLDER",
            help="folder of 'pipeline.py aws', whose account is used while it is up (default: %(default)s)",
        )
        made[name].add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help=f"{_PARAMETERS[name]}; may be repeated"
        )
        made[name].add_argument(
            "--params", default="", metavar="TEXT", help="several parameters: 'NAME=VALUE NAME=VALUE ...'"
        )
    for name in ("run", "recommend"):
        made[name].add_argument(
            "--executor",
            choices=("process", "docker"),
            default="process",
            help="what runs the stages (default: %(default)s)",
        )
        made[name].add_argument("--tag", default="", help="of the images, with --executor docker (default: the commit)")
    made["run"].add_argument("--keep-endpoint", action="store_true", help="leave the endpoint up until Ctrl-C")
    made["run"].add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="JSON",
        help=f"what is to go wrong in S3 and SageMaker; may be repeated. For example {_SAMPLE_FAULT}",
    )
    said = "be an AWS account on this machine until Ctrl-C, which runs and commands share"
    aws = commands.add_parser("aws", help=said, description=said)
    aws.set_defaults(function=_aws)
    aws.add_argument(
        "--folder",
        type=Path,
        default=account.FOLDER,
        help=f"receives the file '{account.ENVIRONMENT}', with the access key (default: %(default)s)",
    )
    said = "start runs of the pipelines on this machine for events of the account of 'aws', until Ctrl-C"
    watch = commands.add_parser("watch", help=said, description=said)
    watch.set_defaults(function=_watch, pipelines=pipelines)
    watch.add_argument("--rules", type=Path, help="file of rules (default: components/local/triggers.yaml)")
    watch.add_argument(
        "--output", type=Path, default=Path("output/watch"), help="as of 'run', for each run (default: %(default)s)"
    )
    watch.add_argument(
        "--account",
        type=Path,
        default=account.FOLDER,
        metavar="FOLDER",
        help="folder of 'pipeline.py aws' (default: %(default)s)",
    )
    for name in ("run", "release"):
        made[name].add_argument("--retry", action="store_true", help="try a pod that fails again, as a cluster does")


def _run(options: argparse.Namespace) -> None:
    from rich.console import Console

    from components.local import run

    if options.items and not options.data:
        raise InputError("items: titles are given without --data; generated data bring their own")
    pipeline = options.pipelines["ncf"]
    request = run.RunRequest(
        data=options.data,
        items=options.items,
        output=options.output,
        arguments=_arguments(options, pipeline),
        keep_endpoint=options.keep_endpoint,
        faults=[_fault(text) for text in options.fault],
        retry=options.retry,
        tag=_tag(options),
        account=options.account,
    )
    run.run(pipeline, request, Console(emoji=False))


def _recommend(options: argparse.Namespace) -> None:
    from rich.console import Console

    from components.local import recommend

    pipeline = options.pipelines["recommend"]
    arguments = _arguments(options, pipeline)
    if taken := [name for name in ("model_uri", "users_uri") if name in arguments]:
        raise InputError(f"parameter '{taken[0]}' is given here as --{taken[0].removesuffix('_uri')}")
    request = recommend.RecommendRequest(
        options.model, options.users, options.output, arguments, _tag(options), options.account
    )
    recommend.run(pipeline, request, Console(emoji=False))


def _release(options: argparse.Namespace) -> None:
    from rich.console import Console

    from components.local import release

    pipeline = options.pipelines["release"]
    arguments = _arguments(options, pipeline)
    if "package" in arguments:
        raise InputError("parameter 'package' is given here as --package")
    request = release.ReleaseRequest(options.package, options.output, arguments, options.retry, options.account)
    release.run(pipeline, request, Console(emoji=False))


def _monitor(options: argparse.Namespace) -> None:
    from rich.console import Console

    from components.local import monitor

    pipeline = options.pipelines["monitor"]
    arguments = _arguments(options, pipeline)
    for name, flag in (("endpoint_name", "endpoint"), ("interactions_uri", "interactions")):
        if name in arguments:
            raise InputError(f"parameter '{name}' is given here as --{flag}")
    request = monitor.MonitorRequest(
        options.endpoint or ENDPOINT, options.interactions, options.output, arguments, options.account
    )
    monitor.run(pipeline, request, Console(emoji=False))


def _aws(options: argparse.Namespace) -> None:
    from rich.console import Console

    account.serve(options.folder, Console(emoji=False))


def _watch(options: argparse.Namespace) -> None:
    from rich.console import Console

    from components.local import watch

    request = watch.WatchRequest(options.rules or watch.RULES, options.output, options.account)
    watch.watch(options.pipelines, request, Console(emoji=False))


def _arguments(options: argparse.Namespace, pipeline: Any) -> dict[str, Any]:
    return parse_arguments([*options.param, *split_assignments(options.params)], pipeline)


def _tag(options: argparse.Namespace) -> str:
    """The images' tag; empty where processes run the stages."""
    from images.build import current_tag

    return (options.tag or current_tag()) if options.executor == "docker" else ""


def _fault(text: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read(text, dict)
    except ValueError:
        raise InputError(f"fault '{text}': expected a JSON object, such as {_SAMPLE_FAULT}") from None
    return content
