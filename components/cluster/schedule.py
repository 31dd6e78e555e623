"""Recurring runs of a pipeline: made, listed, enabled, disabled, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.cluster.client import Api
from components.cluster.submission import Request, experiment
from ncf.errors import InputError, RemoteError

_PAGE = 100


@dataclass(frozen=True)
class Trigger:
    """When runs start: one of both.

    Attributes:
        cron: of six fields; '' for none.
        interval: seconds from one run's start to the next; 0 for none.
    """

    cron: str = ""
    interval: int = 0


def schedule(api: Api, request: Request, trigger: Trigger, version: tuple[str, str] | None) -> str:
    """Make a recurring run: one at a time, and none for the times that were missed.

    Args:
        api: of the cluster.
        request: what to run, under a name that no recurring run has yet.
        trigger: when.
        version: IDs of an uploaded pipeline and its version, in place of the request's package.

    Returns:
        The recurring run's ID.

    Raises:
        InputError: if there is one of that name, or the API refuses or does not confirm.
        RemoteError: if it fails otherwise.
    """
    if same := [entry for entry in recurring_runs(api) if entry.display_name == request.name]:
        raise InputError(
            f"name: there is a recurring run '{request.name}' already ({same[0].recurring_run_id}), which would go on "
            "beside this one; --delete it first, or give another --name"
        )
    package: Mapping[str, Any] = {"pipeline_package_path": str(request.package)}
    if version:
        package = {"pipeline_id": version[0], "version_id": version[1]}
    experiment_id = experiment(api, request.experiment)
    with api.client() as client:
        made = client.create_recurring_run(
            experiment_id,
            cron_expression=trigger.cron or None,
            interval_second=trigger.interval or None,
            max_concurrency=1,
            no_catchup=True,
            **package,
            **request.options(),
        )
    return api.confirmed(made.recurring_run_id, "recurring run")


def recurring_runs(api: Api) -> list[Any]:
    """All of the namespace."""
    found: list[Any] = []
    token = ""
    while True:
        with api.client() as client:
            page = client.list_recurring_runs(page_token=token, page_size=_PAGE, namespace=api.namespace or None)
        found += page.recurring_runs or []
        if not (token := page.next_page_token or ""):
            return found


def line(entry: Any) -> str:
    """ID, state, time and name of a recurring run, with tabs between them."""
    cron = entry.trigger and entry.trigger.cron_schedule and entry.trigger.cron_schedule.cron
    periodic = entry.trigger and entry.trigger.periodic_schedule
    when = cron or (f"every {periodic.interval_second} s" if periodic else "no trigger")
    return "\t".join((entry.recurring_run_id, entry.status or "unknown", when, entry.display_name))


def switch(api: Api, name: str, enabled: bool) -> str:
    """Enable or disable a recurring run by its name or ID.

    Returns:
        Its ID, once the API says that it is so.

    Raises:
        InputError: if there is none, or several of that name, or the API refuses.
        RemoteError: if it fails otherwise, or stays as it was.
    """
    identifier, wanted = _find(api, name), "ENABLED" if enabled else "DISABLED"
    with api.client() as client:
        (client.enable_recurring_run if enabled else client.disable_recurring_run)(identifier)
        found = client.get_recurring_run(identifier)
    if found.status != wanted:
        raise RemoteError(f"recurring run {identifier} is {found.status} still; expected {wanted}")
    return api.confirmed(found.recurring_run_id, "recurring run")


def delete(api: Api, name: str) -> str:
    """Delete a recurring run by its name or ID; the runs that it started go on.

    Returns:
        Its ID.

    Raises:
        InputError: if there is none, or several of that name, or the API refuses.
        RemoteError: if it fails otherwise, or is there still.
    """
    identifier = _find(api, name)
    with api.client() as client:
        client.delete_recurring_run(identifier)
    if any(entry.recurring_run_id == identifier for entry in recurring_runs(api)):
        raise RemoteError(f"recurring run {identifier} is there still")
    return identifier


def _find(api: Api, name: str) -> str:
    """ID of the recurring run of that ID or name."""
    entries = recurring_runs(api)
    found = [entry.recurring_run_id for entry in entries if name in (entry.recurring_run_id, entry.display_name)]
    if len(found) > 1:
        raise InputError(f"recurring run '{name}': there are several of that name; give an ID: {', '.join(found)}")
    if not found:
        names = ", ".join(f"'{entry.display_name}'" for entry in entries[:10]) or "none at all"
        raise InputError(f"there is no recurring run '{name}'; there are: {names}")
    return str(found[0])
