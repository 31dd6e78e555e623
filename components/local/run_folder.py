"""Folder of one run on this machine, and the link to the latest run that succeeded."""

from __future__ import annotations

import shlex
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ncf.errors import InputError
from ncf.stage.output_paths import overlap
from ncf.storage import is_s3

_EXPECTED = "expected a new name, an empty folder, or the link of an earlier run"


@dataclass(frozen=True)
class RunFolder:
    """Folder of one run. No other run writes to it.

    Attributes:
        path: of the folder: ``OUTPUT-TIME-ID``, absolute.
        link: of the latest run that succeeded: ``OUTPUT``, absolute.
        run_id: UUID of the run. The name of the folder ends with its first characters.
    """

    path: Path
    link: Path
    run_id: str

    @classmethod
    def create(cls, output: Path, inputs: Mapping[str, str], run_id: str = "") -> RunFolder:
        """The folder of a new run. The link stays as it is.

        Args:
            output: path of the link.
            inputs: of the run, by the option that names each: a path, a URI or ''.
            run_id: UUID of the run; '' for a new one.

        Raises:
            InputError: if an input does not exist or contains the folder, or ``output`` is not the link of a run.
        """
        local = {name: Path(location) for name, location in inputs.items() if location and not is_s3(location)}
        for name, path in local.items():
            if not path.exists():
                raise InputError(f"{name}: '{path}' does not exist; expected a file, a folder or an s3:// URI")
        link = output.parent.resolve() / output.name
        run_id = run_id or str(uuid.uuid4())
        folder = link.with_name(f"{link.name}-{time.strftime('%Y-%m-%dT%H-%M-%S')}-{run_id[:8]}")
        if clause := overlap(folder, local):
            raise InputError(f"output: the run writes beside '{output}', {clause}; choose another folder")
        _check_link(output)
        folder.mkdir(parents=True)
        return cls(folder, link, run_id)

    def publish(self) -> None:
        """Point the link at this run, in one step."""
        temporary = self.link.with_name(f".{self.path.name}")
        temporary.symlink_to(self.path.name)
        try:
            if self.link.is_dir() and not self.link.is_symlink():
                self.link.rmdir()
            temporary.replace(self.link)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def shown(path: Path) -> str:
    """A path as the console shows it: relative to the current folder, where it lies in there."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def ncf_command() -> str:
    """The command line program of this installation, as the console shows it in commands for the shell."""
    return shlex.quote(shown(Path(sys.executable).with_name("ncf")))


def _check_link(output: Path) -> None:
    """
    Raises:
        InputError: if something else than the link of a run, or an empty folder, has the name.
    """
    if output.is_symlink():
        target = str(output.readlink())
        if not target.startswith(f"{output.name}-") or "/" in target:
            raise InputError(
                f"output: '{output}' is a link to '{target}', which is not the folder of a run; {_EXPECTED}"
            )
    elif output.is_dir():
        if any(output.iterdir()):
            raise InputError(
                f"output: '{output}' is a folder with files, such as an earlier version's run; move it, or {_EXPECTED}"
            )
    elif output.exists():
        raise InputError(f"output: '{output}' is a file; {_EXPECTED}")
