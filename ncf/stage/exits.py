"""Exits of commands: messages, exit statuses and signals."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from ncf.console_text import visible_error
from ncf.disk_errors import as_os_error
from ncf.termination_message import last_words

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
"""Faults that the user can correct, whether or not the system names a file."""


def reason_of(error: BaseException) -> str:
    """One line for a fault of a file or disk that the user can correct; '' for any other error."""
    found = as_os_error(error)
    if found is None or (found.filename is None and found.errno not in _DISK_ERRORS):
        return ""
    return f"{found.filename or 'output'}: {found.strerror}"


def fail(message: str, status: int = 2) -> NoReturn:
    """Leave the end of one message for Kubernetes to show, print it to stderr, and exit."""
    shown = visible_error(message)
    last_words(shown)
    print(f"ncf: error: {shown}", file=sys.stderr)
    sys.exit(status)


@contextmanager
def quiet_if_unread() -> Iterator[None]:
    """End without a message if the reader of stdout has gone, as in ``ncf show ... | head``: exit status 141.

    An exit or an error in progress keeps its own status and message.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except BaseException:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
        raise


def _discard_output() -> None:
    """Send the rest of stdout nowhere. The interpreter flushes it at its end."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def exit_on_early_interrupt() -> None:
    """Make Ctrl-C end the process with one line and 130, for programs to call before imports that take a second.

    Nothing is unwound, as nothing was started. :func:`interruptible` takes over.
    """

    def leave(*_: object) -> NoReturn:
        os.write(sys.stderr.fileno(), b"ncf: error: interrupted\n")
        os._exit(128 + signal.SIGINT)

    signal.signal(signal.SIGINT, leave)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C, SIGTERM and SIGHUP unwind the stack, so that temporary files are removed and jobs are stopped.

    SIGTERM becomes an exit with 143, SIGHUP of a closed terminal one with 129. SIGHUP stays ignored under nohup. SIGINT
    becomes a KeyboardInterrupt, even in a process that a shell started in the background, where it is ignored by
    default.
    """

    def leave(signum: int, _frame: object) -> NoReturn:
        signal.signal(signum, signal.SIG_IGN)  # a second signal would interrupt the clean-up
        sys.exit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGTERM: leave, signal.SIGINT: signal.default_int_handler}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        handlers[signal.SIGHUP] = leave
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
