"""KFP's client: address of the API, credentials, and checks that an answer comes from the API."""

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
from urllib3.exceptions import HTTPError

from ncf import kfp_access
from ncf.errors import InputError
from ncf.kfp_api.refusals import Call, refused, unanswered
from ncf.kfp_api.sending import prepare

_URL = re.compile(r"https?://[^/\s?#]+[^\s?#]*")
_KFP_NAMESPACE = "kubeflow"
_HOST_VARIABLE = kfp.client.client.KF_PIPELINES_ENDPOINT_ENV
_POD_NAMESPACE = Path(kfp.Client._NAMESPACE_PATH)


@dataclass(frozen=True)
class Connection:
    """Address of the API and credentials.

    Attributes:
        host: URL of the API; '' for kfp's own environment variable or, in a pod, the service of its cluster.
        token: file with a bearer token; '' for the environment variable or, in a pod, its projected token.
        cookie: file with the cookies of a session; '' for the environment variable.
        ca_cert: file with the certificates of the host's authority; '' for SSL_CERT_FILE or the system's.
        namespace: profile of a multi-user cluster; '' for the namespace of the pod.
    """

    host: str = ""
    token: str = ""
    cookie: str = ""
    ca_cert: str = ""
    namespace: str = ""


class Api:
    """The API of one cluster. Its health was checked.

    Attributes:
        host: URL of the API.
        namespace: namespace of the calls; '' on a single-user cluster.
    """

    def __init__(self, connection: Connection) -> None:
        """Connect.

        Raises:
            InputError: if the host is invalid, cannot be reached, or is not the KFP API.
            RemoteError: if the API fails.
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
        """Prefix of links to the UI."""
        return f"{self.host}/#"

    @contextmanager
    def client(self) -> Iterator[kfp.Client]:
        """kfp's client. Refusals become errors of this project, and nothing is printed.

        Raises:
            InputError: if the host cannot be reached or refuses.
            RemoteError: if the API fails.
        """
        try:
            with _quiet():
                yield self._client
        except ApiException as error:
            raise refused(self._call, error) from None
        except HTTPError as error:
            raise unanswered(self._call, error) from None

    def confirmed(self, identifier: str | None, what: str) -> str:
        """The ID of a created resource.

        Raises:
            InputError: if the API returned no ID.
        """
        if not identifier:
            raise InputError(
                f"host: '{self.host}' answers, but returns no ID of the {what}; expected the URL of the KFP API"
            )
        return identifier


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"ncf: warning: {message}", file=sys.stderr)


class _Client(kfp.Client):  # type: ignore[misc]
    """kfp's client with retries and checks of this project."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        prepare(self._run_api.api_client)  # one for all services

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:  # noqa: ARG002
        """An empty answer: kfp's constructor asks five times, 5 s apart. ``Api`` asks once."""
        return kfp_server_api.V2beta1GetHealthzResponse()


class _TokenFile(ServiceAccountTokenVolumeCredentials):  # type: ignore[misc]
    """A token file that is read for each request, as projected tokens are. A leading ``Bearer`` is allowed."""

    def _get_token(self) -> str:
        return kfp_access.token(self._token_path)


def _host(given: str, in_pod: bool) -> str:
    host = given or os.environ.get(_HOST_VARIABLE, "")
    if not host and in_pod:
        host = f"http://{kfp.Client._IN_CLUSTER_DNS_NAME.format(_KFP_NAMESPACE)}"
    if not host:
        raise InputError(
            "host: none is given, and this is not a pod of a cluster; expected --host with the URL of the KFP API: "
            f"https://HOST/pipeline behind Kubeflow's dashboard, or {kfp_access.port_forward('--host')}"
        )
    if "@" in host.partition("://")[2].partition("/")[0]:  # the message must not show it
        raise InputError("host: the URL holds a user or a password; expected a URL without, and --token or --cookie")
    if not _URL.fullmatch(host):
        raise InputError(f"host: '{host}' is not the URL of an API; expected one such as http://localhost:8888")
    return host.rstrip("/")


def _credentials(connection: Connection, in_pod: bool) -> dict[str, Any]:
    """Credentials as arguments of kfp's client."""
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
    elif in_pod and not connection.host:  # the token of this cluster must not be sent to another host
        path = os.environ.get(KF_PIPELINES_SA_TOKEN_ENV) or KF_PIPELINES_SA_TOKEN_PATH
        if Path(path).is_file():
            found["credentials"] = ServiceAccountTokenVolumeCredentials(path)
    return found


def _checked_authority(path: str) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"ca_cert: '{path}' cannot be used ({error.strerror or error}); expected a file of certificates in PEM form"
        ) from None
    return path


def _pods_namespace() -> str:
    if _POD_NAMESPACE.is_file():
        return _POD_NAMESPACE.read_text().strip()
    raise InputError(
        "namespace: this KFP is multi-user; expected --namespace with that of your profile, such as my-profile"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence kfp: it prints links, warnings, and a traceback for each failed attempt."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
