"""Shutdown of a launcher: it marks its job as abandoned, then stops it.

On a cluster, a stage is killed 0.2 to 1.0 s after SIGTERM, and KFP no longer reads its stdout. So these two calls come
first, and nothing between them. A job that is stopped without the mark fails every retry of the run. A job that is
marked but not stopped goes on, and a retry of the run attaches to it.
"""

from __future__ import annotations

import logging
import time

from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs.kind import JobKind
from ncf.sagemaker.jobs.stopping import mark_abandoned, stop
from ncf.termination_message import last_words

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
_CREATION_SECONDS, _RETRY_SECONDS = 5.0, 0.05


def abandon(aws: Aws, kind: JobKind, name: str, arn: str, url: str, is_being_created: bool) -> None:
    """Mark a job in progress as abandoned, and stop it. Errors are reported, not raised.

    Args:
        aws: clients to call; they retry without pauses from now on.
        kind: of the job.
        name: of the job.
        arn: of the job.
        url: of the job in the console.
        is_being_created: whether its creation has not been answered, so that the job may still appear.
    """
    aws.hurry()
    job = f"{kind.words} {name}"
    last_words(with_link(f"terminated: {job} is about to be marked as abandoned, then stopped", url))
    until = time.monotonic() + (_CREATION_SECONDS if is_being_created else 0.0)
    while (outcome := _mark_and_stop(aws, kind, name, arn, is_being_created)) is None and time.monotonic() < until:
        time.sleep(_RETRY_SECONDS)
    if outcome:
        message = with_link(f"terminated: {job} {outcome}", url)
        last_words(message)
        _log.warning("%s", message)


def _mark_and_stop(aws: Aws, kind: JobKind, name: str, arn: str, is_being_created: bool) -> str | None:
    """One attempt.

    Returns:
        The outcome, as the rest of a sentence about the job; None if there is no job in progress.
    """
    mark = "is marked as abandoned"
    try:
        mark_abandoned(aws, arn, "launcher", _PATIENCE_SECONDS)
        last_words(f"terminated: {kind.words} {name} {mark}, and is about to be stopped")
    except RefusedError as error:
        if error.is_temporary:
            return f"is neither marked as abandoned nor stopped: {error}"
        if is_being_created and _may_be_missing(error):
            return None  # it may appear later, and must not be stopped without the mark
        mark = f"is not marked as abandoned ({error})"  # stopped nevertheless, as it costs money
    except (InputError, RemoteError) as error:
        return f"is neither marked as abandoned nor stopped: {error}"
    try:
        is_stopped = stop(aws, kind, name, _PATIENCE_SECONDS)
    except (InputError, RemoteError) as error:
        return f"{mark}, but not stopped: {error}"
    return f"{mark} and is being stopped; a retry of the run starts another job" if is_stopped else None


def _may_be_missing(error: RefusedError) -> bool:
    """Whether the resource may not exist: SageMaker refuses tags with a ValidationException, maybe without message."""
    return error.says_missing or error.code == "ValidationException"
