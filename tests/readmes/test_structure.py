"""READMEs: length of the first one, links, trees, languages of blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from readmes import READMES, ROOT, SHELL, anchors, blocks, prose, text_of

from ncf.api import limits, requests
from ncf.training.history_batches import MOST_POSITIVES
from ncf.training.hyperparameters import Hyperparameters

_LANGUAGES = (*SHELL, "python", "yaml", "json", "")
_COMMAND = re.compile(r"^\s*(\$ |make |\.venv/|python |pip |docker |kubectl |aws |curl )", re.MULTILINE)

_LIMITS: Mapping[str, tuple[str, str]] = {
    "body": ("MAX_BODY_BYTES", "{mib} MiB"),
    "records in a body": ("MAX_RECORDS", "{:,}"),
    "items that all records of a body request (`users` × `k`)": ("MAX_ITEMS", "{:,}"),
    "`users`": ("MAX_USERS", "{:,}"),
    "`k`": ("MAX_K", "{:,}"),
    "`items`, pairs, `allow`, `deny`": ("MAX_CANDIDATES", "{:,} each"),
    "`history`": ("MAX_HISTORY", "{:,}"),
    "length of an id": ("MAX_ID_LENGTH", "{:,} characters"),
    "open connections": ("MAX_CONNECTIONS", "{:,}"),
    "requests at a time": ("MAX_REQUESTS", "{:,}"),
    "answers that clients have not read": ("MAX_UNREAD_BYTES", "{mib} MiB"),
    "time for the head of a request to arrive": ("HEAD_SECONDS", "{:g} seconds"),
    "time for a body to arrive": ("BODY_SECONDS", "{:g} seconds"),
    "time for a client to read an answer": ("SEND_SECONDS", "{:g} seconds"),
    "time in which a client reads nothing": ("STALL_SECONDS", "{:g} seconds"),
}
"""Row of the table of limits -> the limit, and how the row shows it."""


def test_the_first_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) < 220


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_to_files_and_headings(readme: str) -> None:
    folder = (ROOT / readme).parent
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(readme)):
        path, _, anchor = target.partition("#")
        found = (folder / path).resolve() if path else ROOT / readme
        assert found.exists(), f"{readme}: {target}"
        if anchor:
            assert anchor in anchors(str(found.relative_to(ROOT))), f"{readme}: {target}"


def test_each_readme_can_be_reached_from_the_first() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        readme = waiting.pop()
        if readme in reached:
            continue
        reached.add(readme)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose(readme)):
            path = ((ROOT / readme).parent / target).resolve()
            path = path / "README.md" if path.is_dir() else path
            if path.name == "README.md" and path.is_file():
                waiting.append(str(path.relative_to(ROOT)))
    assert reached >= set(READMES)


def test_the_tree_names_what_is_there_and_all_rooms() -> None:
    (tree,) = [block.content for block in blocks("README.md") if "pipeline.py  " in block.content]
    named, folder = set(), Path()
    for line in tree.splitlines():
        names = line[: line.index("  ", 4)].strip() if "  " in line[4:] else line.strip()
        folder = Path() if not line.startswith(" ") else folder
        paths = [folder / name for name in names.split()]
        for path in paths:
            assert (ROOT / path).exists(), path
            named.add(path.as_posix())
        folder = paths[0] if not line.startswith(" ") else folder
    rooms = {f"ncf/{path.parent.name}" for path in (ROOT / "ncf").glob("*/__init__.py")}
    assert rooms <= named


@pytest.mark.parametrize("readme", READMES)
def test_blocks_have_a_language_in_which_they_are_valid(readme: str) -> None:
    for block in blocks(readme):
        where = f"{readme}:{block.line}"
        assert block.language in _LANGUAGES, where
        if block.language == "yaml":
            assert yaml.safe_load(block.content), where
        if block.language == "json":
            json.loads(block.content.replace("…}", '"}').replace(", …]", "]"))
        if block.language == "":
            assert not _COMMAND.search(block.content), f"{where}: a command outside of a shell block is not tested"


def test_limits_are_those_of_the_code() -> None:
    table = text_of("ncf/serving/README.md").split("## Limits")[1].split("\n\n")[1]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    values["MAX_ID_LENGTH"] = requests.MAX_ID_LENGTH
    texts = {name: text.format(values[name], mib=int(values[name]) >> 20) for name, text in _LIMITS.values()}
    assert {row: value for row, value, _ in cells} == {row: texts[name] for row, (name, _) in _LIMITS.items()}
    assert len(cells) == len(_LIMITS)
    assert values.keys() - texts.keys() == {"RETRY_AFTER_SECONDS"}, "each limit has a row"


def test_the_description_of_the_models_has_their_defaults() -> None:
    settings, text = Hyperparameters(), " ".join(prose("ncf/training/README.md").split())
    assert f"the latest {settings.history} items (`history`)" in text
    assert f"{settings.shared_negatives:,} negatives by popularity" in text
    assert f"{settings.negatives} negatives for each positive" in text
    assert f"at most {MOST_POSITIVES} positives of a user" in text
    assert f"`model={settings.model}`, the default" in text
