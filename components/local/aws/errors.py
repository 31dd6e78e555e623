"""Errors as SageMaker's API answers them."""

from __future__ import annotations


class ApiError(Exception):
    """An answer with status 400 (unless another is given), an error code and a message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> ApiError:
    """What SageMaker answers to most of what it refuses."""
    return ApiError("ValidationException", message)
