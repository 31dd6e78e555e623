"""Errors whose message is all that a user needs."""


class InputError(Exception):
    """Input, a parameter or a file is at fault, and the message says which and what would be accepted.

    A command that ends with it prints the message alone, without a traceback, and exits with 2.
    """


class RemoteError(Exception):
    """A service that the stage depends on failed or refused, and the message says what it said.

    A command that ends with it prints the message alone, without a traceback, and exits with 1.

    Attributes:
        report: Markdown that says more, for the stage's ``summary``; '' for none.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report
