"""kfp's client: where the API is, as whom it is called, and answers that are believed only if they are the API's."""

from __future__ import annotations

import io
import logging
import os
import re
import ssl
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH, ServiceAccountTokenVolumeCredentials
from kfp_server_api import ApiException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from components.cluster.refusals import Call, refused, unanswered
from ncf import kfp_access
from ncf.errors import InputError

_URL = re.compile(r"https?://[^/\s?#]+[^\s?#]*")
_TRIES = 2
_SECONDS = (10, 60)
"""To connect, and to answer; kfp would wait for ever."""
_KFP_NAMESPACE = "kubeflow"
_HOST_VARIABLE = kfp.client.client.KF_PIPELINES_ENDPOINT_ENV
_POD_NAMESPACE = Path(kfp.Client._NAMESPACE_PATH)


@dataclass(frozen=True)
class Connection:
    """How to reach the API.

    Attributes:
        host: its URL; '' for kfp's own variable, or the service of the cluster whose pod this is.
        token: file with a bearer token; '' for the variable, or in a pod for its projected token.
        cookie: file with cookies of a session; '' for the variable.
        ca_cert: file with certificates of the host's authority; '' for SSL_CERT_FILE, or the known ones.
        namespace: profile of a multi-user cluster; '' for the pod's own, or none.
    """

    host: str = ""
    token: str = ""
    cookie: str = ""
    ca_cert: str = ""
    namespace: str = ""


class Api:
    """The API of one cluster, which has said that it is well.

    Attributes:
        host: its URL.
        namespace: to call it with; '' where it knows none.
    """

    def __init__(self, connection: Connection) -> None:
        """Connect.

        Raises:
            InputError: if the host is none, is not reached, or something else answers there.
            RemoteError: if it fails.
        """
        in_pod = "KUBERNETES_SERVICE_HOST" in os.environ or bool(os.environ.get(KF_PIPELINES_SA_TOKEN_ENV))
        self.host = _host(connection.host, in_pod)
        self.namespace = ""
        with _quiet():
            self._client = _Client(host=self.host, namespace="", **_credentials(connection, in_pod))
        config = self._client._existing_config
        self._call = Call(self.host, bool(config.api_key or self._client._run_api.api_client.cookie), in_pod)
        with self.client() as client:
            health = client.healthzs.healthz_service_get_healthz()
        if health.multi_user:
            self.namespace = connection.namespace or _pods_namespace()
        elif connection.namespace:
            warn(
                f"namespace '{connection.namespace}' is ignored: this KFP is for a single user (its healthz says no "
                "multi_user), and runs everything in its own namespace"
            )

    @property
    def in_browser(self) -> str:
        """What links to the UI begin with."""
        return f"{self.host}/#"

    @contextmanager
    def client(self) -> Iterator[kfp.Client]:
        """kfp's client, whose refusals become errors of ours, and which prints nothing.

        Raises:
            InputError: if the host is not reached or refuses.
            RemoteError: if it fails.
        """
        try:
            with _quiet():
                yield self._client
        except ApiException as error:
            raise refused(self._call, error) from None
        except HTTPError as error:
            raise unanswered(self._call, error) from None

    def confirmed(self, identifier: str | None, what: str) -> str:
        """The ID that the API gave to what it made.

        Raises:
            InputError: if it gave none, so that nothing is known to be made.
        """
        if not identifier:
            raise InputError(
                f"host: '{self.host}' answers, but confirms no {what} by an ID; expected the URL of the KFP API"
            )
        return identifier


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"ncf: warning: {message}", file=sys.stderr)


class _Client(kfp.Client):  # type: ignore[misc]
    """kfp's own, but for how requests are sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        api_client = self._run_api.api_client  # one for all services
        # a redirect leads to a log-in, and a POST would arrive there as a GET
        api_client.configuration.retries = Retry(total=_TRIES, redirect=False)
        api_client.rest_client = _Rest(api_client.configuration)

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:  # noqa: ARG002
        """Nothing known yet: kfp's constructor asks five times, 5 s apart; ``Api`` does it once."""
        return kfp_server_api.V2beta1GetHealthzResponse()


class _TokenFile(ServiceAccountTokenVolumeCredentials):  # type: ignore[misc]
    """A file that is read anew for each request, as a projected token's; ``Bearer`` may stand before the token."""

    def _get_token(self) -> str:
        return kfp_access.token(self._token_path)


class _Rest(kfp_server_api.rest.RESTClientObject):  # type: ignore[misc]
    """Sends requests; an answer that is not JSON is a refusal, whatever its status."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or _SECONDS
        try:
            answer = super().request(method, url, *args, **options)
        except ApiException as error:
            raise _decodable(error) from None
        if answer.data.lstrip()[:1] not in (b"{", b"["):
            raise _decodable(ApiException(http_resp=answer))
        return answer


def _decodable(error: ApiException) -> ApiException:
    """With a body that kfp, which decodes it, does not fail at."""
    error.body = (error.body or b"").decode(errors="replace").encode()
    return error


def _host(given: str, in_pod: bool) -> str:
    host = given or os.environ.get(_HOST_VARIABLE, "")
    if not host and in_pod:
        host = f"http://{kfp.Client._IN_CLUSTER_DNS_NAME.format(_KFP_NAMESPACE)}"
    if not host:
        raise InputError(
            "host: none is given, and this is no pod of a cluster; expected --host with the URL of the KFP API: "
            f"https://HOST/pipeline behind Kubeflow's dashboard, or {kfp_access.port_forward('--host')}"
        )
    if "@" in host.partition("://")[2].partition("/")[0]:  # which is not shown
        raise InputError("host: it holds a user or a password; expected a URL without, and --token or --cookie")
    if not _URL.fullmatch(host):
        raise InputError(f"host: '{host}' is no URL of an API; expected one such as http://localhost:8888")
    return host.rstrip("/")


def _credentials(connection: Connection, in_pod: bool) -> dict[str, Any]:
    """As whom to call, in the words of kfp's client."""
    found: dict[str, Any] = {}
    if authority := connection.ca_cert or os.environ.get("SSL_CERT_FILE", ""):
        found["ssl_ca_cert"] = _checked_authority(authority)
    if cookie := kfp_access.cookie(connection.cookie):
        found["cookies"] = cookie
    if token := kfp_access.token(connection.token):
        if connection.token and Path(connection.token).is_file():  # a pipe can be read only once
            found["credentials"] = _TokenFile(connection.token)
        else:
            found["existing_token"] = token
    elif in_pod and not connection.host:  # a token for this cluster is none of another host's business
        path = os.environ.get(KF_PIPELINES_SA_TOKEN_ENV) or KF_PIPELINES_SA_TOKEN_PATH
        if Path(path).is_file():
            found["credentials"] = ServiceAccountTokenVolumeCredentials(path)
    return found


def _checked_authority(path: str) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # of which ssl.SSLError is one
        raise InputError(
            f"ca_cert: '{path}' cannot be used ({error.strerror or error}); expected a file of certificates in PEM form"
        ) from None
    return path


def _pods_namespace() -> str:
    if _POD_NAMESPACE.is_file():
        return _POD_NAMESPACE.read_text().strip()
    raise InputError("namespace: this KFP is multi-user; expected --namespace with your profile's, such as my-profile")


@contextmanager
def _quiet() -> Iterator[None]:
    """kfp prints links to what may not be there, warns everybody, and logs a traceback for each try that fails."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
