"""Links to AWS's console, in messages and in Markdown. A link is '' where no console shows the resource."""

from __future__ import annotations


def with_link(message: str, url: str) -> str:
    """A message that ends with a link."""
    return f"{message}; {url}" if url else message


def linked(text: str, url: str) -> str:
    """A text as a link in Markdown."""
    return f"[{text}]({url})" if url else text
