"""What the README tells people to type is there."""

from __future__ import annotations

import re
import shlex
import subprocess
from concurrent.futures import Future
from pathlib import Path

import pytest
from random_model import random_model
from starlette.testclient import TestClient

import pipeline
from components.compiling.arguments import parse_arguments
from ncf.serving.app import create_app
from ncf.serving.recommender import Recommender
from ncf.stage import command

ROOT = Path(pipeline.__file__).parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
LINES = [
    line.partition("  #")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]


def lines(start: str) -> list[str]:
    found = [line for line in LINES if line.startswith(start)]
    assert found, f"the README shows no '{start}'"
    return found


@pytest.mark.parametrize("line", lines("make "))
def test_make_targets_and_their_variables_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    targets, assignments = ([word for word in words if ("=" in word) is given] for given in (False, True))
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        assert re.search(rf"^{name} \?=", makefile, re.MULTILINE), name
        if name == "PARAMS":
            parse_arguments(value.split(), pipeline.PIPELINES["recommend" if "recommend" in targets else "ncf"][0])
    subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", lines(".venv/bin/ncf "))
def test_stage_commands_parse(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    form = command.form_of(name, arguments)
    command.parse(command.load(form.command if form else name), arguments)


@pytest.mark.parametrize("line", lines(".venv/bin/python pipeline.py "))
def test_pipeline_commands_parse(line: str) -> None:
    options = pipeline._parser().parse_args(shlex.split(line)[2:])
    name = "recommend" if "recommend" in line.split() else "ncf"
    parse_arguments(getattr(options, "param", []), pipeline.PIPELINES[name][0])


@pytest.mark.parametrize("line", [line for line in LINES if "curl " in line])
def test_requests_are_answered(line: str) -> None:
    """Of a model that knows all ids in them, so that none is answered by popularity."""
    piped, _, request = line.rpartition("| ")
    words = shlex.split(request)
    body = words[words.index("-d") + 1] if "-d" in words else shlex.split(piped)[1].replace("\\n", "\n")
    assert words[2] == "localhost:8080/invocations"
    name, _, value = words[words.index("-H") + 1].partition(": ")
    loading: Future[Recommender] = Future()
    loading.set_result(Recommender(random_model(n_users=50)))
    response = TestClient(create_app(loading)).post("/invocations", content=body, headers={name: value})
    assert response.status_code == 200, response.text
    assert not any(word in response.text for word in ("popular", "unknown", "null"))


def test_python_code_compiles_to_a_pipeline() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "dsl.pipeline" in block]
    scope: dict[str, object] = {}
    exec(compile(code.replace('"components/', f'"{ROOT}/components/'), "README.md", "exec", dont_inherit=True), scope)
    assert scope["own_pipeline"].component_spec.inputs.keys() == {"data_uri"}  # type: ignore[attr-defined]


def test_links_and_folders_exist() -> None:
    headings = {
        re.sub(r"[^\w ]", "", line).strip().lower().replace(" ", "-") for line in TEXT.splitlines() if line[:1] == "#"
    }
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert target[1:] in headings if target[0] == "#" else (ROOT / target).exists(), target
    tree = next(block for language, block in BLOCKS if "pipeline.py  " in block)
    for name in re.findall(r"^(\w+(?:/|\.py))", tree, re.MULTILINE):
        assert (ROOT / name).exists(), name
