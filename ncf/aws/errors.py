"""Errors of AWS calls: which of them are temporary, and what they say of a resource."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

from ncf.credentials import no_credentials
from ncf.errors import InputError, RemoteError

DENIED = ("AccessDenied", "AccessDeniedException")
"""AWS's error codes for a missing permission."""
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_TEMPORARY = (
    "LimitExceededException",
    "ModelNotReadyException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    *_EXPIRED,
)


_MANIFEST = "manifest media type"
"""In SageMaker's message about an image in another format than Docker's."""


class RefusedError(RemoteError):
    """AWS refused a call.

    Attributes:
        code: of the API, such as ``ValidationException``.
        message: of the API.
        is_temporary: whether the call may succeed later: throttling, an error of the service, expired credentials.
    """

    def __init__(self, operation: str, code: str, message: str, is_temporary: bool = False) -> None:
        super().__init__(f"AWS refused {operation}: {code}: {message}")
        self.code, self.message, self.is_temporary = code, message, is_temporary

    @property
    def says_missing(self) -> bool:
        """Whether the resource does not exist. SageMaker and its runtime report that as an invalid request, too."""
        return self.code in ("ResourceNotFound", "ResourceNotFoundException") or (
            self.code in ("ValidationException", "ValidationError")
            and bool(re.search("could not find|not found|does not exist", self.message, re.I))
        )

    @property
    def says_exists(self) -> bool:
        """Whether a resource of that name exists already."""
        return self.code == "ResourceInUse" or (
            self.code == "ValidationException" and "already exist" in self.message.lower()
        )


class TemporaryError(Exception):
    """A call failed, and may succeed later.

    Attributes:
        final: error to raise after the last try.
        is_expired: whether the credentials have to be renewed first.
    """

    def __init__(self, final: RemoteError, is_expired: bool) -> None:
        super().__init__(str(final))
        self.final, self.is_expired = final, is_expired


class _TruncatedError(HTTPClientError):  # type: ignore[misc]
    fmt = "the connection broke after {got} of {length} bytes"


class _BrokenError(HTTPClientError):  # type: ignore[misc]
    fmt = "the connection broke while the answer was read: {error}"


def check_length(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuse an incomplete response, which botocore would accept. Handler of the event ``before-parse``."""
    body, length = response_dict["body"], response_dict["headers"].get("content-length", "")
    if isinstance(body, bytes) and length.isdigit() and 0 < len(body) < int(length):
        raise _TruncatedError(got=len(body), length=length)


def read_stream(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer whose streaming body is replaced by its bytes.

    Raises:
        BotoCoreError: if the connection breaks.
    """
    try:
        return {name: value.read() if isinstance(value, StreamingBody) else value for name, value in answer.items()}
    except (OSError, HTTPException, HTTPError) as error:  # botocore translates only some of them
        raise _BrokenError(error=error) from error


def translated(operation: str, error: ClientError | BotoCoreError) -> Exception:
    """The error to raise for one of botocore's.

    Args:
        operation: that was called.
        error: of botocore.

    Returns:
        A TemporaryError, RefusedError, RemoteError or InputError.
    """
    if isinstance(error, ClientError):
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        if _MANIFEST in message:
            message = f"{message}; 'make images push' builds and pushes images in the format that SageMaker accepts"
        refused = RefusedError(operation, code, message, is_temporary=code in _TEMPORARY or status >= 500)
        return TemporaryError(refused, code in _EXPIRED) if refused.is_temporary else refused
    if isinstance(error, ParamValidationError):
        return InputError(f"{operation}: {error}")
    if isinstance(error, NoCredentialsError):
        return InputError(no_credentials())
    if isinstance(error, (HTTPClientError, IncompleteReadError, NoConnectionError, CredentialRetrievalError)):
        unreachable = RemoteError(f"{operation}: AWS cannot be reached: {error}")
        return TemporaryError(unreachable, isinstance(error, CredentialRetrievalError))
    return RemoteError(f"{operation}: {error}")
