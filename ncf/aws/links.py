"""Links to AWS's console in messages. The URL is '' where no console shows the resource."""

from __future__ import annotations


def with_link(message: str, url: str) -> str:
    """A message that ends with a link."""
    return f"{message}; {url}" if url else message
