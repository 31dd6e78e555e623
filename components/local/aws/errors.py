"""Errors of SageMaker's API."""

from __future__ import annotations


class ApiError(Exception):
    """An error answer.

    Args:
        code: error code.
        message: error message.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> ApiError:
    """A ValidationException, SageMaker's answer to most invalid requests."""
    return ApiError("ValidationException", message)
