"""An AWS account on this machine that several runs and commands share: ``pipeline.py aws``."""

from __future__ import annotations

import fcntl
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from components.local.aws import LocalAws, RemoteAws
from components.local.aws.remote import REQUIRED
from components.local.console import escape
from components.local.executors import in_processes
from components.local.run_folder import ncf_command, shown
from components.local.variables import own_environment
from ncf.errors import InputError

FOLDER = Path("output/aws")
"""Default folder of the account."""
BUCKET = "ncf-local"
"""The bucket, of this account and of those that end with their run."""
ENDPOINT = "ncf-live"
"""Endpoint to which models are released, unless another one is named."""
ENVIRONMENT = "environment"
"""File in the folder, while the account is up: ``export`` lines for a shell, with its URL and access key."""
_EXPORT = "export "
_SECONDS_BETWEEN_LOOKS = 0.5


def serve(folder: Path, console: Console) -> None:
    """Be an AWS account until Ctrl-C, whose programs are processes of this machine.

    Args:
        folder: receives the file with the environment, and the files of jobs and endpoints. All is removed at the end.
        console: to print to.

    Raises:
        InputError: if an account is up in the folder, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"folder: '{folder}' is a file; expected a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        _locked(folder),
        own_environment(),
        tempfile.TemporaryDirectory(dir=folder, prefix="files-") as files,
        in_processes() as executor,
        LocalAws(Path(files), executor.instances) as aws,
        _written(folder / ENVIRONMENT, aws.environment),
        suppress(KeyboardInterrupt),
    ):
        aws.create_bucket(BUCKET)
        _announce(console, folder, aws.endpoint_url)
        while True:  # not signal.pause(): another thread may be given the signal, which would not end it
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    console.print("The account has ended, with its endpoints, jobs and objects")


def running(folder: Path, console: Console) -> RemoteAws | None:
    """The account that is up in a folder; None if there is none. One line says which.

    The file of an account that has ended without removing it is ignored.

    Args:
        folder: of the account.
        console: to print to.
    """
    file = folder / ENVIRONMENT
    if not file.is_file():
        return None
    environment = _read(file)
    account = RemoteAws(environment) if all(environment.get(name) for name in REQUIRED) else None
    if account is None or not account.has_bucket(BUCKET):
        said = f"{shown(file.absolute())} is ignored: no account answers with its key"
        console.print(escape(said), highlight=False, soft_wrap=True)
        return None
    said = f"AWS is the account in {shown(folder.absolute())}: what is made there outlives this run"
    console.print(escape(said), highlight=False, soft_wrap=True)
    return account


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder as this process's own, for the time of the block. The lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"folder: an account is up in '{folder}'; end it by Ctrl-C in its terminal, or choose another folder"
            ) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _written(file: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The environment in a file that only this user can read, for the time of the block."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # with mode 0600
    try:
        with os.fdopen(handle, "w") as stream:
            stream.writelines(f"{_EXPORT}{name}={shlex.quote(value)}\n" for name, value in environment.items())
        Path(temporary).replace(file)
        yield
    finally:
        Path(temporary).unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, str]:
    """Variables in the file; empty if it is not one of :func:`_written`, or gone."""
    try:
        lines = [shlex.split(line) for line in file.read_text().splitlines()]
    except (OSError, ValueError):
        return {}
    pairs = [words[1].partition("=") for words in lines if len(words) == 2 and words[0] == _EXPORT.strip()]
    return {name: value for name, _, value in pairs}


def _announce(console: Console, folder: Path, url: str) -> None:
    """Print where the account is, and what can be done with it."""
    file = escape(shlex.quote(shown((folder / ENVIRONMENT).absolute())))
    lines = (
        f"AWS answers at {url} for this user's programs that have read {file}.",
        "It is used by 'make run' and others while it is up. In another terminal:",
        "  make run PARAMS=release=on_approval",
        f"  . {file}",
        f"  {escape(ncf_command())} models",
        f"  {escape(ncf_command())} approve ncf/1 --note 'REASON'",
        "  make release",
        "  make monitor",
        "Ctrl-C ends it, with its endpoints, jobs and objects.",
    )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
