"""Recurring runs of a pipeline: create, list, enable, disable, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.cluster.client import Api
from components.cluster.submission import Submission, experiment
from ncf.errors import InputError, RemoteError

_PAGE = 100
_MAX_PAGES = 1000


@dataclass(frozen=True)
class Trigger:
    """Trigger of a recurring run: a cron expression or an interval.

    Attributes:
        cron: cron expression of six fields; '' for none.
        interval: seconds between the starts of two runs; 0 for none.
    """

    cron: str = ""
    interval: int = 0

    def __str__(self) -> str:
        return self.cron or f"every {self.interval} s"


def schedule(api: Api, request: Submission, trigger: Trigger, version: tuple[str, str] | None) -> str:
    """Create a recurring run. One run is active at a time, and missed times are not caught up.

    Args:
        api: API of the cluster.
        request: the run. Its name must be new among the recurring runs.
        trigger: times of the starts.
        version: IDs of an uploaded pipeline and its version, instead of the package of the request.

    Returns:
        ID of the recurring run.

    Raises:
        InputError: if the name is taken, the API refuses, or it returns no ID.
        RemoteError: if the API fails.
    """
    if same := [entry for entry in recurring_runs(api) if entry.display_name == request.name]:
        raise InputError(
            f"name: a recurring run '{request.name}' exists already ({same[0].recurring_run_id}), and both "
            "would run; --delete it first, or give another --name"
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


def renew(api: Api, request: Submission, trigger: Trigger, is_version: Callable[[str], bool]) -> str:
    """Create a recurring run in place of its earlier versions. A repeated call finds it.

    The earlier versions are deleted after the new one exists, so that one of them always does. If this is interrupted,
    a repeated call deletes them.

    Args:
        api: API of the cluster.
        request: the run.
        trigger: times of the starts.
        is_version: whether a name is that of a version, this one included.

    Returns:
        ID of the recurring run.

    Raises:
        InputError: if the API refuses, or it returns no ID.
        RemoteError: if the API fails.
    """
    versions = [entry for entry in recurring_runs(api) if is_version(entry.display_name)]
    found = [str(entry.recurring_run_id) for entry in versions if entry.display_name == request.name]
    made = found[0] if found else schedule(api, request, trigger, None)
    for entry in versions:
        if entry.recurring_run_id != made:
            delete(api, entry.recurring_run_id)
    return made


def recurring_runs(api: Api) -> list[Any]:
    """All recurring runs of the namespace.

    Raises:
        RemoteError: if the pages of the list have no end.
    """
    found: list[Any] = []
    token, tokens = "", set[str]()
    while True:
        with api.client() as client:
            page = client.list_recurring_runs(page_token=token, page_size=_PAGE, namespace=api.namespace or None)
        found += page.recurring_runs or []
        if not (token := page.next_page_token or ""):
            return found
        if token in tokens or len(tokens) == _MAX_PAGES:
            raise RemoteError(
                f"host: '{api.host}' answers with page after page of recurring runs, without an end "
                f"(page_token {token[:40]!r})"
            )
        tokens.add(token)


def line(entry: Any) -> str:
    """ID, state, trigger and name of a recurring run, separated by tabs."""
    cron = entry.trigger and entry.trigger.cron_schedule and entry.trigger.cron_schedule.cron
    periodic = entry.trigger and entry.trigger.periodic_schedule
    when = cron or (f"every {periodic.interval_second} s" if periodic else "no trigger")
    return "\t".join((entry.recurring_run_id, entry.status or "unknown", when, entry.display_name))


def switch(api: Api, name: str, enabled: bool) -> str:
    """Enable or disable a recurring run by its name or ID.

    Returns:
        ID of the recurring run. Its new state has been confirmed.

    Raises:
        InputError: if no recurring run, or more than one, has that name, or the API refuses.
        RemoteError: if the API fails, or the state does not change.
    """
    identifier, wanted = _find(api, name), "ENABLED" if enabled else "DISABLED"
    with api.client() as client:
        (client.enable_recurring_run if enabled else client.disable_recurring_run)(identifier)
        found = client.get_recurring_run(identifier)
    if found.status != wanted:
        raise RemoteError(f"recurring run {identifier} is still {found.status}; expected {wanted}")
    return api.confirmed(found.recurring_run_id, "recurring run")


def delete(api: Api, name: str) -> str:
    """Delete a recurring run by its name or ID. Runs that it has started go on.

    Returns:
        ID of the recurring run.

    Raises:
        InputError: if no recurring run, or more than one, has that name, or the API refuses.
        RemoteError: if the API fails, or the recurring run still exists.
    """
    identifier = _find(api, name)
    with api.client() as client:
        client.delete_recurring_run(identifier)
    if any(entry.recurring_run_id == identifier for entry in recurring_runs(api)):
        raise RemoteError(f"recurring run {identifier} still exists")
    return identifier


def _find(api: Api, name: str) -> str:
    """ID of the recurring run of that ID or name."""
    entries = recurring_runs(api)
    found = [entry.recurring_run_id for entry in entries if name in (entry.recurring_run_id, entry.display_name)]
    if len(found) > 1:
        raise InputError(f"recurring run '{name}': more than one has that name; give an ID: {', '.join(found)}")
    if not found:
        names = ", ".join(f"'{entry.display_name}'" for entry in entries[:10]) or "none"
        raise InputError(f"there is no recurring run '{name}'; there are: {names}")
    return str(found[0])
