"""Errors that the command line reports by their message alone, without a traceback."""


class InputError(Exception):
    """Invalid input. The message names the parameter or file at fault and the accepted values.

    The command prints the message and exits with status 2.
    """


class RemoteError(Exception):
    """Failure or refusal of a remote service. The message holds the service's own reason.

    The command prints the message and exits with status 1.

    Attributes:
        report: details in Markdown for the stage's ``summary``; '' for none.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report
