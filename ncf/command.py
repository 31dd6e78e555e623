"""``ncf COMMAND --flag value``: parse, run, publish the outputs whole, write KFP metadata."""

from __future__ import annotations

import errno
import json
import logging
import math
import signal
import sys
import threading
from argparse import SUPPRESS
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from ncf.data import manifest
from ncf.errors import InputError, RemoteError
from ncf.places import check_places
from ncf.stage import ArtifactKind, Stage
from ncf.storage import is_s3, staged, upload

STAGES = ("preprocess", "negative_sampling", "train", "evaluate", "deploy")
"""The five stages of the pipeline, in the order of the data flow."""

BATCH = "recommend"
"""The stage of the pipeline that recommends in batch."""

EXIT_HANDLER = "finish"
"""What ends a run, whatever became of the five."""

COMMANDS: Mapping[str, str] = {
    **{name.replace("_", "-"): f"ncf.stages.{name}:{name.title().replace('_', '')}" for name in (*STAGES, BATCH)},
    EXIT_HANDLER: "ncf.stages.finish:Finish",
    "fit": "ncf.training.fit:Fit",
    "serve": "ncf.serving.serve:Serve",
    "show": "ncf.serving.show:Show",
    "rollback": "ncf.sagemaker.commands:Rollback",
    "clean": "ncf.sagemaker.commands:Clean",
    "stop-jobs": "ncf.sagemaker.commands:StopJobs",
    "doctor": "ncf.sagemaker.doctor:Doctor",
}
"""Each command and the class behind it: the stages, what SageMaker's two containers run, and what people run."""


@dataclass(frozen=True)
class Form:
    """A flag with which a command is another one."""

    flag: str
    value: str
    command: str
    description: str


_FORMS: Mapping[str, Form] = {
    BATCH: Form("--user", "ID", "show", "print the items of one user, beside the history; nothing is written")
}

_log = logging.getLogger(__name__)

EXECUTOR_INPUT = "--executor-input"
_SUMMARY = "summary"
_TERMINATION_LOG = Path("/dev/termination-log")
"""What Kubernetes shows as a container's message."""
_MESSAGE_BYTES = 4096
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What the user can mend, whether or not the system names a file."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0, 2 for what the user can mend, 1 for the rest, 130 and 143 for signals."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for chatty in ("botocore", "boto3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in COMMANDS:
        fail(f"'{name}' is not a command of ncf; expected one of: {', '.join(COMMANDS)}")
    try:
        with interruptible():
            form = form_of(name, rest)
            run(load(form.command if form else name), rest, f"{name} {form.flag} {form.value}" if form else "")
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
    """One line for what the system says of a file or disk, which the user can mend; '' for anything else."""
    if error.filename is None and error.errno not in _DISK_ERRORS:
        return ""
    return f"{error.filename or 'output'}: {error.strerror}"


def form_of(name: str, arguments: Sequence[str]) -> Form | None:
    """The form of a command that its arguments ask for; None where it is itself."""
    form = _FORMS.get(name)
    return form if form and form.flag in [argument.partition("=")[0] for argument in arguments] else None


def fail(message: str, status: int = 2) -> NoReturn:
    """Print one message to stderr, leave its end for Kubernetes to show, and exit."""
    print(f"ncf: error: {message}", file=sys.stderr)
    if _TERMINATION_LOG.is_file():
        with suppress(OSError):
            _TERMINATION_LOG.write_bytes(message.encode()[-_MESSAGE_BYTES:])
    sys.exit(status)


def load(name: str) -> type[Stage]:
    """The class behind a command."""
    module, _, attribute = COMMANDS[name].partition(":")
    command: type[Stage] = getattr(import_module(module), attribute)
    return command


def run(command: type[Stage], arguments: Sequence[str], called: str = "") -> None:
    """Parse ``arguments`` into ``command``, run it, and publish its outputs.

    Args:
        called: what help and errors call the command; '' for its name.
    """
    rest, executor_input = _take_executor_input(list(arguments))
    stage = parse(command, rest, called)
    check_places(stage)
    outputs = command.outputs()
    places = {name: Path(getattr(stage, name)) for name in outputs}
    with _reported(stage, executor_input), ExitStack() as stack:
        temporary = {name: stack.enter_context(_staged(name, place)) for name, place in places.items()}
        working = stage.model_copy(update=temporary)
        working._uris = _artifact_uris(executor_input)
        elsewhere = working.run() or {}
        for name in outputs:
            if name not in elsewhere and not temporary[name].exists():
                raise RuntimeError(f"{command.command_name()} did not write its output '{name}'")
        metadata = {name: _metadata(temporary[name], role.artifact) for name, role in outputs.items()}
    if outputs:
        written = (f"{name} {elsewhere.get(name, places[name])}" for name in outputs)
        _log.info("%s has written %s", command.command_name(), ", ".join(written))
    if executor_input is not None:
        _write_executor_output(executor_input, metadata, elsewhere)
    working.published()


@contextmanager
def _staged(name: str, place: Path) -> Iterator[Path]:
    """The temporary place of an output."""
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(staged(place, optional=True))
        except OSError as error:
            raise InputError(
                f"parameter '{name}' is '{place}', where nothing can be written: {error.strerror} ('{error.filename}')"
            ) from None
        yield temporary


@contextmanager
def _reported(stage: Stage, executor_input: Mapping[str, Any] | None) -> Iterator[None]:
    """What a service's failure has to report becomes the stage's ``summary``, the one output of a stage that fails.

    KFP uploads nothing of a pod that failed; so where the summary lies in S3, it is put there.
    """
    try:
        yield
    except RemoteError as error:
        if error.report and _SUMMARY in stage.outputs():
            place = Path(getattr(stage, _SUMMARY))
            with staged(place) as temporary:
                temporary.write_text(error.report)
            uri = _artifact_uris(executor_input).get(_SUMMARY, "")
            if is_s3(uri):
                with suppress(Exception):  # the failure itself must be what is told
                    upload(place, uri)
        raise


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
        if form := _FORMS.get(command.name):
            group = source.root_parser.add_argument_group(
                f"instead of all this (see 'ncf {name} {form.flag} X --help')"
            )
            group.add_argument(form.flag, metavar=form.value, default=SUPPRESS, help=form.description)
        source(args=list(arguments))
        return command(**source())
    except SettingsError as error:
        reason = str(error).removeprefix("error parsing CLI: ")
        raise InputError(f"{name}: {reason}; 'ncf {name} --help' lists the parameters") from None
    except ValidationError as error:
        raise InputError("; ".join(_explain(name, entry) for entry in error.errors())) from None


def _explain(command: str, error: Any) -> str:
    """One line for one invalid parameter."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{command}: --{place.replace('_', '-')} is required"
    message = error["msg"].removeprefix("Value error, ")
    if not place:
        return f"{command}: {message}"
    message = message[0].lower() + message[1:]
    return f"{command}: parameter '{place}' is {error['input']!r}: {message}"


def _overview() -> str:
    lines = [f"  {name:<18} {(load(name).__doc__ or '').strip().splitlines()[0]}" for name in COMMANDS]
    return "\n".join(
        ["usage: ncf COMMAND [--parameter VALUE ...]", "", *lines, "", "ncf COMMAND --help explains each."]
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM unwind the stack, so that temporary files go and jobs are stopped.

    SIGTERM becomes an exit with 143. SIGINT is a KeyboardInterrupt even where a shell started the process in the
    background, which makes it ignored otherwise.
    """

    def leave(signum: int, _frame: object) -> NoReturn:
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


def _take_executor_input(arguments: list[str]) -> tuple[list[str], dict[str, Any] | None]:
    """KFP's executor input, which the component passes beside the parameters, taken out of the arguments."""
    if EXECUTOR_INPUT not in arguments:
        return arguments, None
    index = arguments.index(EXECUTOR_INPUT)
    try:
        content = json.loads(arguments[index + 1])
        content["outputs"]["outputFile"]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{EXECUTOR_INPUT} must be followed by the JSON that KFP puts for {{{{$}}}}: {error!r}"
        ) from None
    return arguments[:index] + arguments[index + 2 :], content


def _artifact_uris(executor_input: Mapping[str, Any] | None) -> dict[str, str]:
    """The URI of each input and output artifact, from KFP's executor input."""
    sides = [(executor_input or {}).get(side) or {} for side in ("inputs", "outputs")]
    return {
        name: entry["artifacts"][0]["uri"]
        for side in sides
        for name, entry in (side.get("artifacts") or {}).items()
        if entry.get("artifacts")
    }


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


def _write_executor_output(
    executor_input: Mapping[str, Any], metadata: Mapping[str, Mapping[str, Any]], elsewhere: Mapping[str, str]
) -> None:
    """Tell KFP of **every** output artifact: what is missing in this file vanishes from the run."""
    outputs = executor_input["outputs"]
    artifacts = {}
    for name, entry in (outputs.get("artifacts") or {}).items():
        artifact = dict(entry["artifacts"][0])
        artifact["metadata"] = {**(artifact.get("metadata") or {}), **metadata.get(name, {})}
        artifact["uri"] = elsewhere.get(name, artifact["uri"])
        artifacts[name] = {"artifacts": [artifact]}
    with staged(Path(outputs["outputFile"])) as temporary:
        temporary.write_text(json.dumps({"artifacts": artifacts}))
