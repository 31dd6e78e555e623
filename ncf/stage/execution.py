"""Execution of a stage: outputs appear whole, and KFP gets their metadata."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ncf.artifacts import manifest
from ncf.console_text import visible
from ncf.errors import InputError, RemoteError
from ncf.stage.declaration import ArtifactKind, Stage
from ncf.stage.executor_input import EXECUTOR_INPUT, ExecutorInput
from ncf.stage.exits import reason_of
from ncf.stage.output_paths import check_output_paths
from ncf.stage.parsing import from_executor_input, parse
from ncf.staged_output import staged
from ncf.storage import s3_region

_log = logging.getLogger(__name__)

_SUMMARY = "summary"
UNCACHED = "--uncached"
"""Argument with the ID of the pipeline run, which manifests name.

KFP's key for cached results counts a container's arguments, but no parameter that a task leaves to its default.
"""
_POD_VARIABLE = "KFP_POD_NAME"
_ADVICE = "; a retry fails in the same way: correct it, then retry the run, or clone it with other parameters"


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
        temporary = {
            output: stack.enter_context(
                _staged(output, path, exclusive=outputs[output].is_folder and not stage.shares_outputs())
            )
            for output, path in paths.items()
        }
        working = stage.model_copy(update=temporary)
        if executor_input:
            working._uris, working._pipeline_run = executor_input.uris, executor_input.run_id
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
def _staged(name: str, path: Path, exclusive: bool) -> Iterator[Path]:
    """The temporary path of an output.

    Args:
        name: parameter of the output.
        path: final path.
        exclusive: whether to refuse a path that another process is writing.
    """
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(staged(path, optional=True, exclusive=exclusive))
        except BlockingIOError:
            raise InputError(
                f"parameter '{name}' is '{path}', which another process is writing; wait for its end, or choose "
                "another path"
            ) from None
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
                print("\n".join(map(visible, error.report.split("\n"))), flush=True)
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
    run_id = ""
    if rest[:1] == [UNCACHED]:
        run_id = "".join(rest[1:2])
        del rest[:2]
    if rest:
        raise InputError(f"'{rest[0]}' beside {EXECUTOR_INPUT}: all parameters are read from there")
    return ExecutorInput.parse("".join(texts), run_id)


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
