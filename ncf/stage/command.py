"""``ncf COMMAND --parameter VALUE``: the command line of stages, containers and operators."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from ncf.console_text import LogFormatter, accept_any_text
from ncf.errors import InputError, RemoteError
from ncf.stage.declaration import Stage
from ncf.stage.documentation import summary
from ncf.stage.execution import run
from ncf.stage.exits import fail, interruptible, quiet_if_unread, reason_of
from ncf.stage.registry import command_names, load_stage
from ncf.stage.suggestions import close_name

COMMANDS: Mapping[str, str] = {
    "fit": "ncf.training.fit:Fit",
    "serve": "ncf.serving.serve:Serve",
    "show": "ncf.serving.show:Show",
    "export": "ncf.export.export:Export",
    "diff": "ncf.operators.diff:Diff",
    "models": "ncf.operators.models:Models",
    "approve": "ncf.operators.approve:Approve",
    "reject": "ncf.operators.reject:Reject",
    "rollback": "ncf.operators.rollback:Rollback",
    "experiment": "ncf.operators.experiment:Experiment",
    "clean": "ncf.operators.clean:Clean",
    "stop-jobs": "ncf.operators.stop_jobs:StopJobs",
    "doctor": "ncf.operators.doctor:Doctor",
    "watch": "ncf.watching.watch:Watch",
    "verify": "ncf.operators.verify:Verify",
    "forget": "ncf.operators.forget:Forget",
}
"""Commands beside the stages, and their classes: what containers run beside them, and what operators run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0, 2 for faults that the user can correct, 1 for others, 130 and 143 for signals."""
    with quiet_if_unread():
        _main(arguments)


def _main(arguments: Sequence[str] | None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    accept_any_text()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("botocore", "boto3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in commands():
        meant = close_name(name, commands())
        hint = f"did you mean {meant}?" if meant else f"expected one of: {', '.join(commands())}"
        fail(f"'{name}' is not a command of ncf; {hint}")
    try:
        with interruptible():
            command, called = chosen(name, rest)
            run(command, rest, called)
    except InputError as error:
        fail(str(error))
    except RemoteError as error:
        fail(str(error), status=1)
    except Exception as error:
        if not (reason := reason_of(error)):
            raise
        fail(f"{reason}; nothing was written")
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", status=130)


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


def load(name: str) -> type[Stage]:
    """The class of a command."""
    if name not in COMMANDS:
        return load_stage(name)
    module, _, attribute = COMMANDS[name].partition(":")
    command: type[Stage] = getattr(import_module(module), attribute)
    return command


def _overview() -> str:
    lines = [f"  {name:<18} {summary(load(name))}" for name in commands()]
    return "\n".join(
        ["usage: ncf COMMAND [--parameter VALUE ...]", "", *lines, "", "ncf COMMAND --help explains each."]
    )
