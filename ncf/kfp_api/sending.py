"""Requests to the API: timeouts, retries, and checks that an answer comes from the API."""

from __future__ import annotations

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
    """Sender of requests. An answer that is not JSON counts as a refusal, whatever its status."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or SECONDS
        try:
            answer = super().request(method, url, *args, **options)
        except ApiException as error:
            raise _decodable(error) from None
        if answer.data.lstrip()[:1] not in (b"{", b"["):
            raise _decodable(ApiException(http_resp=answer))
        return answer


def _decodable(error: ApiException) -> ApiException:
    """The error with a body that the generated client can decode."""
    error.body = (error.body or b"").decode(errors="replace").encode()
    return error
