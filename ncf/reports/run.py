"""Report of a run's end, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncf.reports.markdown import escape, link

_MAX_LINE = 2000
"""Characters of a line."""


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
    lines = [*map(_with_link, resources), *(escape(remark, _MAX_LINE) for remark in remarks)]
    return "\n".join([f"# {escape(title)}", "", escape(reason, _MAX_LINE), "", *(f"- {line}" for line in lines), ""])


def _with_link(resource: Resource) -> str:
    """The text of a resource, with its name as a link."""
    return escape(resource.text, _MAX_LINE).replace(escape(resource.name), link(resource.name, resource.url), 1)
