"""Errors that the user can mend."""


class InputError(Exception):
    """Input, a parameter or a file is at fault, and the message says which and what would be accepted.

    A command that ends with it prints the message alone, without a traceback, and exits with 2.
    """


class RemoteError(Exception):
    """A service that the stage depends on failed or refused, and the message says what it said.

    A command that ends with it prints the message alone, without a traceback, and exits with 1.
    """
