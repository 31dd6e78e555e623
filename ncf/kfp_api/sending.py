"""Requests to the API: timeouts, retries, and checks that an answer comes from the API."""

from __future__ import annotations

import json
from typing import Any

from kfp_server_api import ApiException
from kfp_server_api.rest import RESTClientObject
from urllib3 import Retry

TRIES = 2
"""Retries of a request. A POST that may have arrived is not sent again."""
SECONDS = (10, 60)
"""Timeouts of the connection and of the answer; the generated client has none."""


def prepare(api_client: Any) -> None:
    """Give a client of ``kfp_server_api`` the retries and checks of this project."""
    # a redirect leads to a login page, and turns a POST into a GET
    api_client.configuration.retries = Retry(total=TRIES, redirect=False)
    api_client.rest_client = _Rest(api_client.configuration)


class _Rest(RESTClientObject):  # type: ignore[misc]
    """Sender of requests. An answer that is no JSON object counts as a refusal, whatever its status.

    The generated client takes any other text, also JSON that is cut off, for an object without content.
    """

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or SECONDS
        try:
            answer = super().request(method, url, *args, **options)
        except ApiException as error:
            raise _decodable(error) from None
        if not _is_object(answer.data):
            raise _decodable(ApiException(http_resp=answer))
        return answer


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _decodable(error: ApiException) -> ApiException:
    """The error with a body that the generated client can decode."""
    error.body = (error.body or b"").decode(errors="replace").encode()
    return error
