"""Report of a run's end, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncf.aws.links import linked


@dataclass(frozen=True)
class Resource:
    """A training job or an endpoint of a run.

    Attributes:
        name: of the resource.
        text: its name and state, in words.
        url: of the resource in the console.
    """

    name: str
    text: str
    url: str


def markdown(title: str, reason: str, resources: Sequence[Resource], remarks: Sequence[str]) -> str:
    """The report.

    Args:
        title: the run and its outcome.
        reason: of the outcome.
        resources: of the run.
        remarks: further lines.
    """
    lines = [resource.text.replace(resource.name, linked(resource.name, resource.url), 1) for resource in resources]
    return "\n".join([f"# {title}", "", reason, "", *(f"- {line}" for line in [*lines, *remarks]), ""])
