"""READMEs of the repository: their code blocks, commands and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROOMS = ("components", "images", "ncf", "tests")
READMES = tuple(
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", *(p for r in _ROOMS for p in (ROOT / r).rglob("README.md"))])
)
"""Paths of all READMEs, relative to the root."""
SHELL = ("sh", "bash")
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<content>.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Fenced code block.

    Attributes:
        readme: path of the README, relative to the root.
        line: number of the first line of the content.
        language: behind the fence; '' for none.
        content: without the indentation of the fence.
    """

    readme: str
    line: int
    language: str
    content: str


@dataclass(frozen=True)
class Command:
    """Shell command in a README.

    Attributes:
        readme: path of the README, relative to the root.
        line: number of its first line.
        text: command as it is written, without the comment behind it; continued lines are joined.
    """

    readme: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.readme}:{self.line}: {self.text}"


def text_of(readme: str) -> str:
    return (ROOT / readme).read_text()


def blocks(readme: str) -> list[Block]:
    """All fenced code blocks of a README, in order."""
    text = text_of(readme)
    found = []
    for match in _BLOCK.finditer(text):
        content = re.sub(rf"^{match['indent']}", "", match["content"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("content")) + 1
        found.append(Block(readme, line, match["language"], content))
    return found


def commands(readme: str) -> Iterator[Command]:
    """All commands in the shell blocks of a README, in order."""
    for block in blocks(readme):
        if block.language not in SHELL:
            continue
        start, parts = 0, []
        for number, line in enumerate(block.content.splitlines(), block.line):
            if not parts and (not line.strip() or line.startswith("#")):
                continue
            start = start if parts else number
            parts.append(re.sub(r"\s{2,}#.*", "", line).strip().removesuffix("\\").strip())
            if not line.endswith("\\"):
                yield Command(readme, start, " ".join(parts))
                parts = []


def prose(readme: str) -> str:
    """A README without its code blocks."""
    return _BLOCK.sub("", text_of(readme))


def anchors(readme: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(readme), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
