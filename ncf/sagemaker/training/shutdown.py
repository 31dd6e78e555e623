"""A launcher that is told to leave: it marks its job as left, then stops it.

On a cluster a stage has 0.2 to 1.0 s after SIGTERM, and nobody reads its stdout any more. So the two calls come first,
the mark before the stop: a job that was stopped without it makes every later try of the run fail, while one that was
marked and goes on is taken up again.
"""

from __future__ import annotations

import logging
import time

from ncf.aws.links import with_link
from ncf.aws.session import Aws, RefusedError
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.training import jobs
from ncf.termination import last_words

_log = logging.getLogger(__name__)

_SECONDS_TO_LEAVE = 10.0
_SECONDS_TO_APPEAR, _SECONDS_BETWEEN_LOOKS = 5.0, 0.05


def leave(aws: Aws, name: str, arn: str, url: str, is_being_created: bool) -> None:
    """Mark a job as left and stop it, if there is one that runs. What cannot be done is said, not raised.

    Args:
        aws: clients to call; from here on they are in a hurry.
        name: of the job.
        arn: of the job.
        url: of the console.
        is_being_created: whether CreateTrainingJob has not answered yet, so that the job may still appear.
    """
    aws.hurry()
    last_words(with_link(f"told to end: training job {name} is to be marked as left, then stopped", url))
    until = time.monotonic() + (_SECONDS_TO_APPEAR if is_being_created else 0.0)
    while (outcome := _mark_and_stop(aws, name, arn, is_being_created)) is None and time.monotonic() < until:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if outcome:
        said = with_link(f"told to end: training job {name} {outcome}", url)
        last_words(said)
        _log.warning("%s", said)


def _mark_and_stop(aws: Aws, name: str, arn: str, is_being_created: bool) -> str | None:
    """One try.

    Returns:
        What is to be said of the job; None if there is none.
    """
    mark = "is marked as left"
    try:
        jobs.mark_left(aws, arn, "launcher", _SECONDS_TO_LEAVE)
        last_words(f"told to end: training job {name} {mark}, and to be stopped")
    except RefusedError as error:
        if error.is_passing:
            return f"is neither marked as left nor stopped: {error}"
        if is_being_created and _may_be_missing(error):
            return None  # it may appear just now, and must not be stopped without the mark
        mark = f"is not marked as left ({error})"  # what is not stopped costs money
    except (InputError, RemoteError) as error:
        return f"is neither marked as left nor stopped: {error}"
    try:
        is_stopped = jobs.stop(aws, name, _SECONDS_TO_LEAVE)
    except (InputError, RemoteError) as error:
        return f"{mark}, but not stopped: {error}"
    return f"{mark} and being stopped; a retry goes on" if is_stopped else None


def _may_be_missing(error: RefusedError) -> bool:
    """SageMaker refuses tags of what is not there with a ValidationException, whose message may be empty."""
    return error.says_missing or error.code == "ValidationException"
