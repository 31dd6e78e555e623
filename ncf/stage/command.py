"""``ncf COMMAND --flag value``: parse, run, publish the outputs whole, write KFP metadata."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import signal
import sys
import threading
from argparse import SUPPRESS
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from ncf.artifacts import manifest
from ncf.errors import InputError, RemoteError
from ncf.stage.declaration import ArtifactKind, FinalStatus, Stage
from ncf.stage.executor_input import EXECUTOR_INPUT, ExecutorInput
from ncf.stage.output_paths import check_output_paths
from ncf.stage.registry import command_names, load_stage
from ncf.storage import s3_region, staged
from ncf.termination import last_words

COMMANDS: Mapping[str, str] = {
    "fit": "ncf.training.fit:Fit",
    "serve": "ncf.serving.serve:Serve",
    "show": "ncf.serving.show:Show",
    "rollback": "ncf.operators.rollback:Rollback",
    "clean": "ncf.operators.clean:Clean",
    "stop-jobs": "ncf.operators.stop_jobs:StopJobs",
    "doctor": "ncf.operators.doctor:Doctor",
}
"""Commands beside the stages, and their classes: what SageMaker's two containers run, and what operators run."""

_log = logging.getLogger(__name__)

_SUMMARY = "summary"
UNCACHED = "--uncached"
"""Argument with a value that differs from run to run. The command ignores it.

KFP's key for cached results counts a container's arguments, but no parameter that a task leaves to its default.
"""
_POD_VARIABLE = "KFP_POD_NAME"
_ADVICE = "; KFP's own retries meet the same: correct it, then retry the run, or clone it with other parameters"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Faults that the user can correct, whether or not the system names a file."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0, 2 for faults that the user can correct, 1 for others, 130 and 143 for signals."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for chatty in ("botocore", "boto3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in commands():
        fail(f"'{name}' is not a command of ncf; expected one of: {', '.join(commands())}")
    try:
        with interruptible():
            command, called = chosen(name, rest)
            run(command, rest, called)
    except InputError as error:
        fail(str(error))
    except RemoteError as error:
        fail(str(error), status=1)
    except OSError as error:
        if not (reason := reason_of(error)):
            raise
        fail(f"{reason}; nothing was written")
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", status=130)


def reason_of(error: OSError) -> str:
    """One line for a fault of a file or disk that the user can correct; '' for any other error."""
    if error.filename is None and error.errno not in _DISK_ERRORS:
        return ""
    return f"{error.filename or 'output'}: {error.strerror}"


def commands() -> tuple[str, ...]:
    """Names of all commands: the stages first."""
    return (*command_names(), *COMMANDS)


def chosen(name: str, arguments: Sequence[str]) -> tuple[type[Stage], str]:
    """The class of a command, or of its alternative where the arguments have its flag.

    Returns:
        The class, and what help and errors call it; '' for its name.
    """
    command = load(name)
    other = command.alternative
    if other and other.flag in [argument.partition("=")[0] for argument in arguments]:
        return load(other.command), f"{name} {other.flag} {other.value}"
    return command, ""


def fail(message: str, status: int = 2) -> NoReturn:
    """Leave the end of one message for Kubernetes to show, print it to stderr, and exit."""
    last_words(message)
    print(f"ncf: error: {message}", file=sys.stderr)
    sys.exit(status)


def load(name: str) -> type[Stage]:
    """The class of a command."""
    if name not in COMMANDS:
        return load_stage(name)
    module, _, attribute = COMMANDS[name].partition(":")
    command: type[Stage] = getattr(import_module(module), attribute)
    return command


def run(command: type[Stage], arguments: Sequence[str], called: str = "") -> None:
    """Parse ``arguments`` into ``command``, run it, and publish its outputs.

    Args:
        called: what help and errors call the command; '' for its name.
    """
    executor_input = _executor_input(arguments)
    if executor_input is None:
        _run(parse(command, arguments, called), None)
        return
    with _in_pod(executor_input):
        _run(from_executor_input(command, executor_input), executor_input)


def _run(stage: Stage, executor_input: ExecutorInput | None) -> None:
    check_output_paths(stage)
    name, outputs = stage.command_name(), stage.outputs()
    paths = {output: Path(getattr(stage, output)) for output in outputs}
    with s3_region(stage.s3_region()), _reported(stage), ExitStack() as stack:
        temporary = {output: stack.enter_context(_staged(output, path)) for output, path in paths.items()}
        working = stage.model_copy(update=temporary)
        working._uris = executor_input.uris if executor_input else {}
        elsewhere = working.run() or {}
        for output in outputs:
            if output not in elsewhere and not temporary[output].exists():
                raise RuntimeError(f"{name} did not write its output '{output}'")
        metadata = {output: _metadata(temporary[output], role.artifact) for output, role in outputs.items()}
    if outputs:
        written = ", ".join(f"{output} {elsewhere.get(output, paths[output])}" for output in outputs)
        _log.info("%s has written %s", name, executor_input.located(written) if executor_input else written)
    if executor_input is not None:
        executor_input.write_output(metadata, elsewhere)
    working.published()


@contextmanager
def _staged(name: str, path: Path) -> Iterator[Path]:
    """The temporary path of an output."""
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(staged(path, optional=True))
        except OSError as error:
            raise InputError(
                f"parameter '{name}' is '{path}', where nothing can be written: {error.strerror} ('{error.filename}')"
            ) from None
        yield temporary


@contextmanager
def _reported(stage: Stage) -> Iterator[None]:
    """Write the report of a service's failure to the stage's ``summary``, the only output of a stage that fails.

    KFP registers no artifact of a failed task except its log. So a pod prints the report, too.
    """
    try:
        yield
    except RemoteError as error:
        if error.report and _SUMMARY in stage.outputs():
            if _is_on_cluster():
                print(error.report, flush=True)
            with staged(Path(getattr(stage, _SUMMARY))) as temporary:
                temporary.write_text(error.report)
        raise


def _is_on_cluster() -> bool:
    return _POD_VARIABLE in os.environ


@contextmanager
def _in_pod(executor_input: ExecutorInput) -> Iterator[None]:
    """Put URIs into errors, and say that KFP's retries of a pod do not help against bad input.

    KFP's launcher turns each exit status into 1, so a pod cannot prevent the retry.
    """
    try:
        yield
    except InputError as error:
        advice = _ADVICE if _is_on_cluster() else ""
        raise InputError(f"{executor_input.located(str(error))}{advice}") from error
    except RemoteError as error:
        raise RemoteError(executor_input.located(str(error)), error.report) from error
    except OSError as error:
        if not (reason := reason_of(error)):
            raise
        raise OSError(error.errno, error.strerror, executor_input.located(reason.partition(": ")[0])) from error


def parse(command: type[Stage], arguments: Sequence[str], called: str = "") -> Stage:
    """An instance from ``--flag value`` arguments.

    Args:
        called: what help and errors call the command; '' for its name.

    Raises:
        InputError: that names each parameter at fault, its value, and what is accepted.
        SystemExit: for ``--help``.
    """
    name = called or command.command_name()
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            command,
            cli_prog_name=f"ncf {name}",
            cli_kebab_case=True,
            cli_hide_none_type=True,
            cli_exit_on_error=False,
        )
        if other := command.alternative:
            group = source.root_parser.add_argument_group(
                f"instead of all this (see 'ncf {name} {other.flag} X --help')"
            )
            group.add_argument(other.flag, metavar=other.value, default=SUPPRESS, help=other.description)
        source(args=list(arguments))
        return command(**source())
    except SettingsError as error:
        reason = str(error).removeprefix("error parsing CLI: ")
        raise InputError(f"{name}: {reason}; 'ncf {name} --help' lists the parameters") from None
    except ValidationError as error:
        raise InputError("; ".join(_explain(name, entry) for entry in error.errors())) from None


def from_executor_input(command: type[Stage], executor_input: ExecutorInput) -> Stage:
    """An instance from the executor input of a pod.

    Raises:
        InputError: that names each parameter at fault, its value, and what is accepted.
    """
    artifacts = {**command.inputs(), **command.outputs()}
    if missing := [name for name in command.outputs() if name not in executor_input.paths]:
        raise InputError(f"{command.command_name()}: {EXECUTOR_INPUT} names no path for the output '{missing[0]}'")
    if strange := [name for name in executor_input.parameters if name in artifacts]:
        raise InputError(f"{command.command_name()}: '{strange[0]}' is an artifact, but is given as a parameter")
    paths = {name: path for name, path in executor_input.paths.items() if name in artifacts}
    values = {
        name: json.dumps(value) if _is_final_status(command, name) and not isinstance(value, str) else value
        for name, value in executor_input.parameters.items()
    }
    try:
        return command(**values, **paths)
    except ValidationError as error:
        raise InputError("; ".join(_explain(command.command_name(), entry) for entry in error.errors())) from None


def _is_final_status(command: type[Stage], parameter: str) -> bool:
    """Whether KFP passes a parameter as an object, which the stage takes as JSON."""
    field = command.model_fields.get(parameter)
    return field is not None and field.annotation is FinalStatus


def _explain(command: str, error: Any) -> str:
    """One line for one invalid parameter."""
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{command}: --{field.replace('_', '-')} is required"
    message = error["msg"].removeprefix("Value error, ")
    if not field:
        return f"{command}: {message}"
    message = message[0].lower() + message[1:]
    return f"{command}: parameter '{field}' is {error['input']!r}: {message}"


def _overview() -> str:
    lines = [f"  {name:<18} {(load(name).__doc__ or '').strip().splitlines()[0]}" for name in commands()]
    return "\n".join(
        ["usage: ncf COMMAND [--parameter VALUE ...]", "", *lines, "", "ncf COMMAND --help explains each."]
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM unwind the stack, so that temporary files are removed and jobs are stopped.

    SIGTERM becomes an exit with 143. SIGINT becomes a KeyboardInterrupt, even in a process that a shell started in
    the background, where it is ignored by default.
    """

    def leave(signum: int, _frame: object) -> NoReturn:
        signal.signal(signum, signal.SIG_IGN)  # a second signal would interrupt the clean-up
        sys.exit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGTERM: leave, signal.SIGINT: signal.default_int_handler}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _executor_input(arguments: Sequence[str]) -> ExecutorInput | None:
    """KFP's executor input, which a component passes instead of parameters; None on a command line.

    Raises:
        InputError: if it is invalid, or there are other arguments.
    """
    if EXECUTOR_INPUT not in arguments:
        return None
    rest = list(arguments)
    index = rest.index(EXECUTOR_INPUT)
    _, *texts = rest[index : index + 2]
    del rest[index : index + 2]
    if rest[:1] == [UNCACHED]:
        del rest[:2]
    if rest:
        raise InputError(f"'{rest[0]}' beside {EXECUTOR_INPUT}: all parameters are read from there")
    return ExecutorInput.parse("".join(texts))


def _metadata(path: Path, artifact: ArtifactKind) -> dict[str, float]:
    """KFP metadata of a finished output: the numbers of a metrics file, or the counts of a folder's manifest."""
    if artifact == "Metrics":
        content = json.loads(path.read_text())
    elif (path / manifest.FILE_NAME).is_file():
        content = json.loads((path / manifest.FILE_NAME).read_text())["counts"]
    else:
        return {}
    scalars = {key: float(value) for key, value in content.items() if isinstance(value, (int, float))}
    return {key: value for key, value in scalars.items() if math.isfinite(value)}
