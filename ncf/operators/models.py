"""``ncf models``: the packages of a model package group."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from pydantic_settings import CliImplicitFlag, CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.errors import InputError
from ncf.sagemaker.registry.names import PENDING, check_group
from ncf.sagemaker.registry.properties import CLOSED, GATE, HR, NDCG, RELEASE
from ncf.sagemaker.registry.settings import NEVER, RegistrySettings
from ncf.stage.declaration import Stage

if TYPE_CHECKING:
    from ncf.sagemaker.registry.decision import Decision
    from ncf.sagemaker.registry.package import Package

_FIGURES = ("version", "age", "NDCG@10", "HR@10")
_WORD = 16
"""Columns of a word that is not broken in a narrow table."""
_METRICS = {"ndcg_at_10": NDCG, "hr_at_10": HR}


class Models(Stage, AwsAccess):
    """List the packages of a model package group, the newest first.

    NDCG@10 and HR@10 on the whole catalogue stand beside those of the live model, each on the test items of its own
    run. 'ncf diff' compares two models on the same users.
    """

    calls = (
        "ncf.aws.session",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.live",
        "ncf.sagemaker.registry.groups",
        "ncf.sagemaker.registry.package",
    )

    group: CliPositionalArg[str] = Field(
        RegistrySettings.model_fields["registry_group"].default, description="Name of the model package group"
    )
    limit: int = Field(20, ge=1, le=1000, description="Maximum number of packages, the newest ones")
    as_json: CliImplicitFlag[bool] = Field(False, alias="json", description="Print JSON instead of a table")

    @field_validator("group")
    @classmethod
    def _is_group(cls, value: str) -> str:
        return check_group(value)

    def run(self) -> None:
        from itertools import islice

        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.live import live_endpoints, live_packages
        from ncf.sagemaker.registry.decision import decision_of
        from ncf.sagemaker.registry.groups import group_names
        from ncf.sagemaker.registry.package import has_group, packages

        aws = Aws(self)
        found = list(islice(packages(aws, self.group), self.limit))
        if not found and not has_group(aws, self.group):
            others = ", ".join(group_names(aws)) or "none"
            raise InputError(
                f"no run has registered a model in the model package group '{self.group}' in {aws.region} yet; "
                f"'ncf models GROUP' lists the packages of another group (there are: {others})"
            )
        serving = live_endpoints(aws)
        listed = [Listed(package, serving.get(package.arn, ()), decision_of(package)) for package in found]
        live = next(live_packages(aws, self.group, serving), None)
        if self.as_json:
            print(json.dumps([entry.content() for entry in listed], indent=2))
        else:
            _show(self.group, listed, live)


@dataclass(frozen=True)
class Listed:
    """A package in the list.

    Attributes:
        package: a version of the group.
        endpoints: that serve it.
        decision: on the package, or None while it is pending.
    """

    package: Package
    endpoints: Sequence[str]
    decision: Decision | None

    def metric(self, name: str) -> float | None:
        """A metric of the run; None if the package has none."""
        return _metric(self.package, name)

    def content(self) -> dict[str, Any]:
        """The package in JSON."""
        package, decision = self.package, self.decision
        return {
            "package": f"{package.group}/{package.version}",
            "arn": package.arn,
            "version": package.version,
            "status": package.status,
            "created": package.created.astimezone(UTC).isoformat(timespec="seconds"),
            "endpoints": list(self.endpoints),
            **{name: self.metric(name) for name in _METRICS},
            "release": package.properties.get(RELEASE, ""),
            "gate": package.properties.get(GATE, ""),
            "decided_by": decision.by if decision else "",
            "decided_at": decision.at.astimezone(UTC).isoformat(timespec="seconds") if decision else "",
            "note": package.note,
            "run": package.run,
            "model": package.model_uri,
            "image": package.image,
            "metrics": package.metrics_uri,
            "report": package.report_uri,
            "diff": package.diff_uri,
            "properties": dict(package.properties),
        }


def _metric(package: Package, name: str) -> float | None:
    try:
        value = float(package.properties[_METRICS[name]])
    except (KeyError, ValueError):  # anybody can write a property
        return None
    return value if math.isfinite(value) else None  # JSON has no other numbers


def _show(group: str, listed: Sequence[Listed], live: Package | None) -> None:
    """Print the packages as a table, and what can follow."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not listed:
        console.print(f"the model package group {group} has no versions", soft_wrap=True)
        return
    rows = [_row(entry, live) for entry in listed]
    table = Table(
        title=f"Models of {group}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    shown = [column for column in rows[0] if any(row[column] for row in rows)]
    for column in shown:
        words = [word for text in (column, *(row[column] for row in rows)) for word in text.split()]
        table.add_column(
            column,
            justify="right" if column in _FIGURES else "left",
            min_width=min(max(map(len, words)), _WORD),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(row[column]) for column in shown))
    console.print(table)
    if live is not None and any(entry.package.arn != live.arn for entry in listed):
        console.print(f"Behind NDCG@10 and HR@10: the difference from {live.name}, which is live.", soft_wrap=True)
    may_follow = (entry.package for entry in listed if entry.package.status == PENDING)
    pending = next((package for package in may_follow if package.properties.get(RELEASE) != NEVER), None)
    if pending is not None:
        name = f"{pending.group}/{pending.version}"
        console.print(f"Next, for {pending.name}:", soft_wrap=True)
        if endpoint := next((name for entry in listed for name in entry.endpoints), ""):
            console.print(f"  ncf diff {endpoint} {name} --html diff.html", soft_wrap=True)
        console.print(f"  ncf approve {name} --note 'REASON'", soft_wrap=True)


def _row(entry: Listed, live: Package | None) -> dict[str, str]:
    """Cells of a package by column."""
    from ncf.console_text import visible

    package, decision, properties = entry.package, entry.decision, entry.package.properties
    gate = properties.get(GATE, "")
    by = f"by {decision.by.rpartition('/')[2]}" if decision and decision.by else ""
    reason = package.note or (gate if gate.startswith(CLOSED) else "")
    cells = {
        "version": str(package.version),
        "status": "Pending" if package.status == PENDING else package.status,
        "age": _age((datetime.now(UTC) - package.created).total_seconds()),
        "NDCG@10": _beside(package, live, "ndcg_at_10"),
        "HR@10": _beside(package, live, "hr_at_10"),
        "live on": " ".join(entry.endpoints),
        "release": properties.get(RELEASE, ""),
        "decision": ": ".join(filter(None, (by, reason))),
    }
    return {column: visible(cell) for column, cell in cells.items()}


def _beside(package: Package, live: Package | None, name: str) -> str:
    """A metric, and its difference from that of the live model."""
    value, other = _metric(package, name), _metric(live, name) if live else None
    if value is None:
        return ""
    if live is None or other is None or live.arn == package.arn:
        return f"{value:.4f}"
    return f"{value:.4f} ({value - other:+.4f})"


def _age(seconds: float) -> str:
    """A duration in its largest unit.

    >>> _age(59), _age(7200), _age(3 * 86400)
    ('0 min', '2 h', '3 d')
    """
    if seconds < 3600:
        return f"{max(seconds, 0) / 60:.0f} min" if seconds >= 60 else "0 min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"
