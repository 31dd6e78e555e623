"""A session with AWS: clients under one identity, with retries, error translation, lookups and pagination."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, PaginationError, ProfileNotFound
from botocore.paginate import Paginator
from botocore.session import get_session

from ncf.aws.errors import RefusedError, TemporaryError, check_length, read_stream, translated
from ncf.aws.settings import AwsAccess
from ncf.credentials import no_credentials
from ncf.errors import InputError, RemoteError
from ncf.storage import REGION_VARIABLE

_log = logging.getLogger(__name__)

CALLS = ("sts:AssumeRole",)
"""AWS calls of this module, from which the IAM permissions are generated. Only with the parameter ``assume_role``."""

# botocore retries within seconds; Aws.call retries for minutes
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=70)
_PRICING_CONFIG = Config(retries={"total_max_attempts": 2}, connect_timeout=3, read_timeout=10)
_PRICING, _PRICING_REGION = "pricing", "us-east-1"  # one of few regions with this service, which lists all regions
_PATIENCE_SECONDS, _FIRST_PATIENCE_SECONDS = 900.0, 30.0
_PAUSE_SECONDS = (1.0, 20.0)
_HURRIED_PAUSE_SECONDS = 0.05
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
_ECR_IMAGE = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.\S+/\S+")
CONSISTENCY_SECONDS = 30.0
"""Seconds for which AWS may still answer as before a change."""
_POLL_SECONDS, _POLL_SHARE = (0.5, 10.0), 0.05


class Aws:
    """Clients of one region and one identity."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._has_answered = self._is_hurried = False
        self._connect()

    def _connect(self) -> None:
        """Create the session with the present credentials. Clients are created on demand."""
        # boto3 itself reads only AWS_DEFAULT_REGION
        region = self._access.region or os.environ.get(REGION_VARIABLE) or None
        try:
            self._core = self._core_session()
            if self._access.assume_role:
                source = boto3.Session(botocore_session=self._core_session(), region_name=region)
                if source.get_credentials() is None:
                    raise InputError(no_credentials())
                fetcher = AssumeRoleCredentialFetcher(
                    client_creator=source.client,
                    source_credentials=source.get_credentials(),
                    role_arn=self._access.assume_role,
                    extra_args={"RoleSessionName": "ncf"},
                )
                # renewed on expiry: a job may outlast the role's session
                self._core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
            self._session = boto3.Session(botocore_session=self._core, region_name=region)
        except ProfileNotFound as error:
            raise InputError(f"parameter 'profile': {error}; expected one of AWS's local configuration") from None
        self._clients: dict[str, Any] = {}

    def _core_session(self) -> Any:
        core = get_session()
        if self._access.profile:
            core.set_config_variable("profile", self._access.profile)
        return core

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        if service not in self._clients:
            pricing = {"config": _PRICING_CONFIG, "region_name": _PRICING_REGION}
            try:
                options = pricing if service == _PRICING else {"config": _CONFIG}
                client = self._session.client(service, **options)
            except NoRegionError:
                raise InputError(
                    "parameter 'region' is empty, and so is the environment variable AWS_REGION; expected an AWS region"
                ) from None
            client.meta.events.register("before-parse", check_length)
            self._clients[service] = client
            if self._is_hurried:
                _disable_retries(client)
        return self._clients[service]

    def hurry(self) -> None:
        """Retry at once and without log lines from now on, as the process is about to be killed."""
        self._is_hurried = True
        for client in self._clients.values():
            _disable_retries(client)

    def call(self, service: str, operation: str, patience: float | None = None, **request: Any) -> dict[str, Any]:
        """One API call. Temporary errors are retried: throttling, 5xx, expired credentials, broken connections.

        The body of a streaming answer is read within the call.

        Args:
            service: such as ``sagemaker``.
            operation: such as ``describe_endpoint``.
            patience: seconds during which temporary errors are retried. The default is 900, or 30 as long as no call
                has been answered.
            request: arguments of the operation.

        Raises:
            RefusedError: if AWS refuses the call.
            RemoteError: if AWS cannot be reached.
            InputError: without credentials or region, or for a value that the API does not accept.
        """
        if patience is None:
            patience = _PATIENCE_SECONDS if self._has_answered else _FIRST_PATIENCE_SECONDS
        start, pause = time.monotonic(), _HURRIED_PAUSE_SECONDS if self._is_hurried else _PAUSE_SECONDS[0]
        while True:
            try:
                answer = self._try(service, operation, request)
                self._has_answered = True
                return answer
            except TemporaryError as error:
                if time.monotonic() - start + pause > patience:
                    raise error.final from error.__cause__
                if not self._is_hurried:
                    _log.warning("%s; retrying for up to %.0f s", error.final, patience)
                if error.is_expired:
                    self._connect()
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])

    def _try(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return read_stream(getattr(self.client(service), operation)(**request))
        except (ClientError, BotoCoreError) as error:
            raise translated(operation, error) from error

    def call_with_new(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """A call that names resources that were created just before.

        SageMaker is eventually consistent: an error that such a resource does not exist is believed only after 30 s.
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html

        Raises:
            As :meth:`call`.
        """
        start = time.monotonic()
        for _ in poll():
            try:
                return self.call(service, operation, **request)
            except RefusedError as error:
                if not error.says_missing or time.monotonic() - start > CONSISTENCY_SECONDS:
                    raise
                _log.info("%s; retrying for up to %.0f s", error, CONSISTENCY_SECONDS)
        raise AssertionError

    def find(self, service: str, operation: str, **request: Any) -> dict[str, Any] | None:
        """The description of a resource, by a call such as ``describe_endpoint``; None if it does not exist.

        Raises:
            As :meth:`call`.
        """
        try:
            return self.call(service, operation, **request)
        except RefusedError as error:
            if error.says_missing:
                return None
            raise

    def delete(self, service: str, operation: str, **request: Any) -> None:
        """Delete a resource, by a call such as ``delete_endpoint``, if it exists.

        Raises:
            As :meth:`call`.
        """
        self.find(service, operation, **request)

    def pages(
        self, service: str, operation: str, patience: float | None = None, **request: Any
    ) -> Iterator[dict[str, Any]]:
        """The pages of a call that lists. botocore's paginator knows the tokens; each page is a :meth:`call`.

        Args:
            service: such as ``sagemaker``.
            operation: such as ``list_tags``.
            patience: of the call of each page.
            request: arguments of the operation.

        Raises:
            As :meth:`call`.
        """
        meta = self.client(service).meta
        name = meta.method_to_api_mapping[operation]
        config = self._core.get_paginator_model(service).get_paginator(name)
        call = partial(self.call, service, operation, patience=patience)
        try:
            yield from Paginator(call, config, meta.service_model.operation_model(name)).paginate(**request)
        except PaginationError as error:
            raise RemoteError(f"{operation}: {error}") from error

    @property
    def region(self) -> str:
        return str(self.client("sagemaker").meta.region_name)

    def check_image(self, parameter: str, image: str) -> None:
        """Refuse an image that SageMaker cannot pull.

        The rule holds for Amazon's SageMaker, whose hosts and VPC endpoints are in Amazon's domains. A service that
        AWS_ENDPOINT_URL names has rules of its own.

        Raises:
            InputError: if the image is not in ECR.
        """
        if self._is_amazon and not _ECR_IMAGE.fullmatch(image):
            raise InputError(
                f"parameter '{parameter}' is '{image}': SageMaker pulls images from ECR only; expected "
                "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
            )

    @property
    def _is_amazon(self) -> bool:
        host = urlsplit(self.client("sagemaker").meta.endpoint_url).hostname or ""
        return host.endswith(_AMAZON)

    def console_url(self, page: str) -> str:
        """URL of a page of SageMaker's console, such as ``jobs/NAME``; '' if AWS_ENDPOINT_URL names another service."""
        if not self._is_amazon:
            return ""
        partition = self._session.get_partition_for_region(self.region)
        domain = _CONSOLES.get(partition, "console.aws.amazon.com")
        return f"https://{self.region}.{domain}/sagemaker/home?region={self.region}#/{page}"


def _disable_retries(client: Any) -> None:
    """Disable botocore's retries, whose pauses are one to four seconds long."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")


def poll(limit: float = float("inf")) -> Iterator[float]:
    """Polling with pauses that grow from 0.5 to 10 s.

    Args:
        limit: seconds after which polling ends.

    Yields:
        Seconds since the start.
    """
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < limit:
        yield elapsed
        shortest, longest = _POLL_SECONDS
        time.sleep(min(longest, max(shortest, elapsed * _POLL_SHARE)))
