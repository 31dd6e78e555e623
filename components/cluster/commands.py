"""``pipeline.py check``, ``submit``, ``upload``, ``schedule`` and ``metrics``.

IDs that the API returned go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from components.cluster import metrics, run_file, schedule, upload
from components.cluster.client import Api, Connection, warn
from components.cluster.file_commands import Packages, named, trigger_of, with_file
from components.cluster.storage_check import check_storage
from components.cluster.submission import (
    Submission,
    check_package,
    descriptive_name,
    find_run,
    pipeline_of,
    submit,
    wait,
    with_time,
)
from components.compiling.arguments import check_arguments, typed_arguments
from ncf.durations import seconds
from ncf.errors import InputError
from ncf.kfp_access import COOKIE_VARIABLE, TOKEN_VARIABLE

_CHANGES = ("list", "enable", "disable", "delete")
_UNKNOWN = "the cluster may have accepted the request: see its runs, pipelines and recurring runs"
_OF_NEW_ONES = ("name", "version_name", "param", "pipeline_root", "service_account")


def add(commands: Any, packages: Packages) -> None:
    """Add the commands to the parser of ``pipeline.py``."""
    described = {
        "submit": (_submit, "run a compiled pipeline on a Kubeflow cluster"),
        "upload": (_upload, "add a compiled pipeline to a Kubeflow cluster, as a version"),
        "schedule": (_schedule, "run a compiled pipeline on a Kubeflow cluster on a schedule"),
    }
    made = {}
    for name, (function, text) in described.items():
        made[name] = commands.add_parser(name, help=text, description=text)
        made[name].set_defaults(function=function, packages=packages, interrupted=_UNKNOWN)
        _add_connection(made[name])
        made[name].add_argument("--pipeline", choices=tuple(packages), default="ncf", help="default: %(default)s")
        made[name].add_argument(
            "--package", type=Path, help="compiled pipeline, or folder of make pipeline; default: the committed one"
        )
    for name in ("submit", "schedule"):
        _add_run(made[name])
    for name in ("upload", "schedule"):
        made[name].add_argument("--pipeline-name", default="", help="name on the cluster; default: the pipeline's own")
    made["submit"].add_argument("--run-name", default="", help="default: pipeline, data or model, and time")
    made["submit"].add_argument("--wait", action="store_true", help="wait for the end; exit status 1 if the run fails")
    made["submit"].add_argument("--wait-timeout", default="1d", metavar="TIME", help="such as 6h; default: %(default)s")
    made["upload"].add_argument("--version-name", default="", help="default: the commit")
    made["submit"].add_argument("--file", type=Path, help="file of a run in YAML, which a commit runs once")
    made["upload"].add_argument("--once", action="store_true", help="succeed if the version was uploaded before")
    _add_schedule(made["schedule"])
    _add_check(commands, packages)
    metrics.add(commands, packages)


def _add_check(commands: Any, packages: Packages) -> None:
    text = "check files of runs in YAML, without a cluster"
    checked = commands.add_parser("check", help=text, description=text)
    checked.set_defaults(function=_check, packages=packages, package=None)
    checked.add_argument("files", type=Path, nargs="+", metavar="FILE", help="such as runs/production.yaml")


def _add_connection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument("--host", default="", help="URL of the KFP API; default, in a pod: that of its cluster")
    group.add_argument(
        "--token", default="", metavar="FILE", help=f"file with a bearer token; default: {TOKEN_VARIABLE}, or the pod's"
    )
    group.add_argument(
        "--cookie", default="", metavar="FILE", help=f"file with cookies of a session; default: {COOKIE_VARIABLE}"
    )
    group.add_argument(
        "--ca-cert", default="", metavar="FILE", help="certificates of the host's authority; default: SSL_CERT_FILE"
    )
    group.add_argument("--namespace", default="", help="profile namespace of a multi-user cluster; default: the pod's")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--experiment", default="ncf", help="default: %(default)s")
    group.add_argument("--pipeline-root", default="", metavar="URI", help="default: the cluster's")
    group.add_argument("--service-account", default="", help="service account of the pods; default: the cluster's")
    group.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; may be repeated"
    )


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="", help="name of the recurring run; default: pipeline, and data or model")
    parser.add_argument("--version-name", default="", help="run this uploaded version; default: the package")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--cron", default="", metavar="'S M H D M W'", help="six fields, seconds first, as '0 0 3 * * *'; KFP's is UTC"
    )
    action.add_argument("--interval", default="", metavar="TIME", help="time between starts: seconds, or 90m, 6h, 1d")
    action.add_argument("--list", action="store_true", help="print ID, state, time and name of each recurring run")
    for change in _CHANGES[1:]:
        action.add_argument(
            f"--{change}", default="", metavar="NAME", help=f"{change} the recurring run of this name or ID"
        )


def _submit(options: argparse.Namespace) -> None:
    timeout = seconds(options.wait_timeout, "wait_timeout")
    if options.file:
        _submit_file(options, timeout)
        return
    request = _request(options, options.run_name)
    api = Api(_connection(options))
    _follow(api, request.name, submit(api, request), timeout if options.wait else 0)


def _submit_file(options: argparse.Namespace, timeout: float) -> None:
    """Start the run of a file, or its recurring run, unless this commit has done so before."""
    commit = run_file.commit_of(options.file)
    with named(options.file):
        options = with_file(options, options.file, options.packages)
        request = _request(options, run_file.run_name(options.file, commit))
    api = Api(_connection(options))
    if options.trigger:
        print(schedule.renew(api, request, options.trigger, lambda name: run_file.is_version(name, options.file)))
        print(f"recurring run '{request.name}': {api.in_browser}/recurringruns", file=sys.stderr)
        return
    run_id = find_run(api, request) if commit else ""
    if run_id:
        print(f"this commit has started the run of {options.file} before", file=sys.stderr)
    _follow(api, request.name, run_id or submit(api, request), timeout if options.wait else 0)


def _follow(api: Api, name: str, run_id: str, timeout: float) -> None:
    """Print a run, and wait for its end unless ``timeout`` is 0."""
    print(run_id, flush=True)
    print(f"run '{name}': {api.in_browser}/runs/details/{run_id}", file=sys.stderr, flush=True)
    if timeout:
        wait(api, run_id, timeout)


def _check(options: argparse.Namespace) -> None:
    for path in options.files:
        with named(path):
            given = with_file(options, path, options.packages)
            *_, hint = _checked(given)
        if hint:
            warn(f"{path}: {hint}")
        when = f", scheduled: {given.trigger}" if given.trigger else ""
        print(f"{path}: pipeline {given.pipeline}, {len(given.param)} parameters{when}")


def _upload(options: argparse.Namespace) -> None:
    from images.build import current_tag

    package = _package(options)
    version = options.version_name or current_tag()
    api, name = Api(_connection(options)), _pipeline_name(options)
    found = upload.find_if_there(api, name, version) if options.once else None
    pipeline_id, version_id = found or upload.upload(api, package, name, version)
    print(f"pipeline {pipeline_id}\nversion {version_id}")
    print(f"pipeline '{name}' has a version '{version}'", file=sys.stderr)


def _schedule(options: argparse.Namespace) -> None:
    if any(getattr(options, change) for change in _CHANGES):
        _change(options)
        return
    trigger = trigger_of(options.cron, options.interval)
    request = _request(options, options.name)
    api = Api(_connection(options))
    version = upload.find(api, _pipeline_name(options), options.version_name) if options.version_name else None
    print(schedule.schedule(api, request, trigger, version), flush=True)
    print(f"recurring run '{request.name}': {api.in_browser}/recurringruns", file=sys.stderr)


def _change(options: argparse.Namespace) -> None:
    """List, enable, disable or delete."""
    if stray := [name for name in _OF_NEW_ONES if getattr(options, name)]:
        raise InputError(f"{stray[0]}: expected with --cron or --interval only, which make a recurring run")
    api = Api(_connection(options))
    if options.list:
        for entry in schedule.recurring_runs(api):
            print(schedule.line(entry))
    elif options.delete:
        print(schedule.delete(api, options.delete))
    else:
        print(schedule.switch(api, options.enable or options.disable, enabled=bool(options.enable)))


def _connection(options: argparse.Namespace) -> Connection:
    return Connection(options.host, options.token, options.cookie, options.ca_cert, options.namespace)


def _checked(options: argparse.Namespace) -> tuple[Any, dict[str, Any], str]:
    """The pipeline, its arguments, checked as far as possible without the cluster, and a warning or ''."""
    pipeline = _pipeline(options)
    arguments = typed_arguments(options.param, pipeline)
    parameters = pipeline.component_spec.inputs or {}
    required = [name for name, entry in parameters.items() if not entry.optional]
    if missing := [name for name in required if arguments.get(name, "") == ""]:
        how = "in 'parameters'" if hasattr(options, "trigger") else "by --param NAME=VALUE"
        raise InputError(f"these parameters have no default: {', '.join(missing)}; give each {how}")
    hint = check_storage(parameters, arguments, options.pipeline_root)
    check_arguments(arguments, pipeline)
    return pipeline, arguments, hint


def _request(options: argparse.Namespace, name: str) -> Submission:
    """The run, checked as far as possible without the cluster."""
    pipeline, arguments, hint = _checked(options)
    package = _package(options)
    if hint:
        warn(hint)
    if not name:
        parameters = pipeline.component_spec.inputs or {}
        own = options.packages[options.pipeline][0].pipeline_spec.pipeline_info.name
        of_package = str(pipeline.pipeline_spec.pipeline_info.name)
        name = descriptive_name(options.pipeline if of_package == own else of_package, parameters, arguments)
        name = with_time(name) if options.function is _submit else name
    return Submission(package, name, options.experiment, arguments, options.pipeline_root, options.service_account)


def _pipeline(options: argparse.Namespace) -> Any:
    """The pipeline of the package, whose parameters are those of the run; without a package, that of this project."""
    return pipeline_of(_package(options)) if options.package else options.packages[options.pipeline][0]


def _package(options: argparse.Namespace) -> Path:
    committed: Path = options.packages[options.pipeline][1]
    package: Path = options.package or committed
    if package.is_dir():
        package /= committed.relative_to(options.packages["ncf"][1].parent)
    if not package.is_file():
        raise InputError(f"package: '{package}' does not exist; 'make pipeline' writes it")
    check_package(package)
    return package


def _pipeline_name(options: argparse.Namespace) -> str:
    return options.pipeline_name or str(_pipeline(options).pipeline_spec.pipeline_info.name)
