"""Files of a new component: ``make component NAME=popularity_report [IMAGE=own]``.

The result is a working component. It counts the users, items and interactions of a data set. Replace its fields, its
``run()`` and its test.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from ncf.errors import InputError
from ncf.stage.command import COMMANDS
from ncf.stage.declaration import LAUNCHER
from ncf.stage.documentation import summary
from ncf.stage.exits import fail
from ncf.stage.registry import stage_names

ROOT = Path(__file__).parents[1]
OWN_IMAGE = "own"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_STAGE = Template('''"""The $command stage: counts of a data set."""

from __future__ import annotations

from pathlib import Path

$import_stage
from ncf.storage import local_copy


class $class_name(Stage):
    """Count the users, items and interactions of a data set."""

$class_variables
    dataset: str = Input("Dataset", "Folder written by preprocess")
    summary: Path = Output("Markdown", "The counts")

    def run(self) -> None:
        from ncf.artifacts.dataset import Dataset

        with local_copy(self.dataset) as folder:
            dataset = Dataset.load(folder)
            counts = {"users": dataset.n_users, "items": dataset.n_items, "interactions": len(dataset.train.items)}
        self.summary.write_text("".join(f"- {name}: {count:,}\\n" for name, count in counts.items()))
''')

_COMPONENT = Template('''"""``$command`` as a KFP component."""

from components.factory import component
from ncf.stages.$name import $class_name

$name = component($class_name)
''')

_TEST = Template("""from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ncf.stage.execution import run
from ncf.stages.$name import $class_name


def test_counts_of_a_data_set(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    run($class_name, ["--dataset", str(make_dataset(n_users=30)), "--summary", str(summary)])
    assert "- users: 30\\n" in summary.read_text()
""")

_DOCKERFILE = Template("""# ncf-$command: pods of the stage of that name.
ARG BASE=ncf-base
FROM $${BASE}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
RUN /opt/ncf-install/install $extra
COPY ncf-*.whl /opt/ncf-install/
RUN /opt/ncf-install/install --ncf
ARG RUN_AS=1000:1000
USER $${RUN_AS}
""")


def files(name: str, image: str) -> dict[Path, str]:
    """The files of a component and their content.

    Args:
        name: name of the stage, with underscores.
        image: folder in ``images/`` of the pod's image, or ``own``.

    Returns:
        Content by path; paths are relative to the root of the project.

    Raises:
        InputError: if the name is invalid or taken, or the image does not exist.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(f"NAME: '{name}'; expected lower-case words joined by underscores, such as popularity_report")
    taken = {path.stem for path in (ROOT / "components").iterdir()}
    if name in {*stage_names(), *taken} or name.replace("_", "-") in COMMANDS:
        raise InputError(f"NAME: '{name}' exists already; expected a new name")
    known = sorted(path.parent.name for path in (ROOT / "images").glob("*/Dockerfile") if path.parent.name != "base")
    if image not in (*known, OWN_IMAGE):
        raise InputError(f"IMAGE: '{image}'; expected '{OWN_IMAGE}' or one of: {', '.join(known)}")
    imported = ["Input", "Output", "Stage"]
    if image == OWN_IMAGE:
        variables = [f"    extra = {LAUNCHER!r}".replace("'", '"') + "  # in pyproject.toml: the packages of the image"]
    elif image == LAUNCHER:
        variables, imported = ["    image = LAUNCHER"], ["LAUNCHER", *imported]
    else:
        variables = [f'    image = "{image}"']
    values = {
        "name": name,
        "command": name.replace("_", "-"),
        "class_name": name.title().replace("_", ""),
        "extra": LAUNCHER,
        "class_variables": "\n".join([*variables, '    calls = ("ncf.storage",)', ""]),
        "import_stage": f"from ncf.stage.declaration import {', '.join(imported)}",
    }
    templates = {
        Path("ncf", "stages", f"{name}.py"): _STAGE,
        Path("components", name, "__init__.py"): Template('"""The component ``$command``."""\n'),
        Path("components", name, "component.py"): _COMPONENT,
        Path("tests", "stages", f"test_{name}.py"): _TEST,
    }
    if image == OWN_IMAGE:
        templates[Path("images", name, "Dockerfile")] = _DOCKERFILE
    return {path: template.substitute(values) for path, template in templates.items()}


def write(root: Path, made: dict[Path, str]) -> None:
    """Write new files.

    Args:
        root: root of the project.
        made: content by relative path.

    Raises:
        InputError: if one of them exists. Nothing is written then.
    """
    if existing := [path for path in made if (root / path).exists()]:
        raise InputError(f"{existing[0]} exists already; nothing was written")
    for path, content in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def main(arguments: Sequence[str] | None = None) -> None:
    """Create the files of a component. Exit status: 0, or 2 with a message of one line."""
    parser = argparse.ArgumentParser(prog="python -m components.scaffold", description=summary(sys.modules[__name__]))
    parser.add_argument("name", help="name of the stage, with underscores: popularity_report")
    parser.add_argument("--image", default="", help=f"image of the pod, or '{OWN_IMAGE}' (default: {LAUNCHER})")
    options = parser.parse_args(arguments)
    try:
        made = files(options.name, options.image or LAUNCHER)
        write(ROOT, made)
    except InputError as error:
        fail(str(error))
    print("\n".join(str(path) for path in made))
    print("'make pipeline' adds component.yaml. Next steps: components/README.md, 'Add a component'.")


if __name__ == "__main__":
    main()
