"""Calls to AWS: who calls, how often a call is tried, and what a refusal is turned into."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.session import get_session

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.settings import AwsAccess
from ncf.storage import REGION_VARIABLE

_log = logging.getLogger(__name__)

CALLS = ("sts:AssumeRole",)
"""What this module calls, where a role is to be assumed: permissions are made from it."""

# what botocore tries again by itself, seconds apart; what lasts longer is waited out in Aws.call
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=70)
_QUICK = Config(retries={"total_max_attempts": 2}, connect_timeout=3, read_timeout=10)
_PRICES = "pricing"
_PRICES_REGION = "us-east-1"  # one of the few that have it; it knows all regions' prices
_PATIENCE_SECONDS, _FIRST_PATIENCE_SECONDS = 900.0, 30.0
_PAUSE_SECONDS = (1.0, 20.0)
_HURRIED_PAUSE_SECONDS = 0.05
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_BUSY = (
    "LimitExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    *_EXPIRED,
)
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
_ECR_IMAGE = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.\S+/\S+")
_NO_CREDENTIALS = "no AWS credentials were found: annotate the pod's service account, or log in"
_POLL_SECONDS, _POLL_SHARE = (0.5, 10.0), 0.05


class RefusedError(RemoteError):
    """AWS refused a call.

    Attributes:
        code: of the API, such as ``ValidationException``.
        is_passing: whether AWS could not answer for now: it has not said no.
    """

    def __init__(self, operation: str, code: str, message: str, is_passing: bool = False) -> None:
        super().__init__(f"AWS refused {operation}: {code}: {message}")
        self.code, self.message, self.is_passing = code, message, is_passing

    @property
    def says_missing(self) -> bool:
        """Whether the thing does not exist; SageMaker may call that a ValidationException."""
        return self.code in ("ResourceNotFound", "ResourceNotFoundException") or (
            self.code == "ValidationException" and bool(re.search("could not find|not found", self.message, re.I))
        )

    @property
    def says_exists(self) -> bool:
        """Whether it says that there is one of that name already."""
        return self.code == "ResourceInUse" or (
            self.code == "ValidationException" and "already exist" in self.message.lower()
        )


class _CutShortError(HTTPClientError):  # type: ignore[misc]
    """botocore itself takes an answer whose connection broke in the middle for a whole one."""

    fmt = "the connection broke after {got} of {length} bytes"


class Aws:
    """Clients in one region under one identity."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._answered = self._hurried = False
        self._connect()

    def _connect(self) -> None:
        """Sessions with credentials as they are now; clients follow when they are asked for."""
        # boto3 itself reads AWS_DEFAULT_REGION alone
        region = self._access.region or os.environ.get(REGION_VARIABLE) or None
        try:
            core = self._core()
            if self._access.assume_role:
                source = boto3.Session(botocore_session=self._core(), region_name=region)
                if source.get_credentials() is None:
                    raise InputError(_NO_CREDENTIALS)
                fetcher = AssumeRoleCredentialFetcher(
                    client_creator=source.client,
                    source_credentials=source.get_credentials(),
                    role_arn=self._access.assume_role,
                    extra_args={"RoleSessionName": "ncf"},
                )
                # refreshed as it expires: a job may take longer than the role's session
                core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
            self._session = boto3.Session(botocore_session=core, region_name=region)
        except ProfileNotFound as error:
            raise InputError(f"parameter 'profile': {error}; expected one of AWS's local configuration") from None
        self._clients: dict[str, Any] = {}

    def _core(self) -> Any:
        core = get_session()
        if self._access.profile:
            core.set_config_variable("profile", self._access.profile)
        return core

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        if service not in self._clients:
            prices = {"config": _QUICK, "region_name": _PRICES_REGION}
            try:
                options = prices if service == _PRICES else {"config": _CONFIG}
                client = self._session.client(service, **options)
            except NoRegionError:
                raise InputError("region: none is given, and the environment names none (AWS_REGION)") from None
            client.meta.events.register("before-parse", _check_whole)
            self._clients[service] = client
            if self._hurried:
                _leave_retries_to_us(client)
        return self._clients[service]

    def hurry(self) -> None:
        """From here on what fails for now is tried again at once, in silence: the process has a second to live."""
        self._hurried = True
        for client in self._clients.values():
            _leave_retries_to_us(client)

    def call(self, service: str, operation: str, patience: float | None = None, **request: Any) -> dict[str, Any]:
        """One API call; throttling, 5xx, expired credentials and broken connections are waited out.

        Args:
            service: such as ``sagemaker``.
            operation: such as ``describe_endpoint``.
            patience: seconds for which a call is tried again that AWS cannot answer for now; by default a quarter
                of an hour, and half a minute as long as nothing was answered at all.

        Raises:
            RefusedError: if AWS says no.
            RemoteError: if it cannot be reached.
            InputError: without credentials, or for a value that the API cannot take.
        """
        if patience is None:
            patience = _PATIENCE_SECONDS if self._answered else _FIRST_PATIENCE_SECONDS
        start, pause = time.monotonic(), _HURRIED_PAUSE_SECONDS if self._hurried else _PAUSE_SECONDS[0]
        while True:
            try:
                answer = self._try(service, operation, request)
                self._answered = True
                return answer
            except _PassingError as error:
                if time.monotonic() - start + pause > patience:
                    raise error.lasting from error.__cause__
                if not self._hurried:
                    _log.warning("%s; trying again for up to %.0f s", error.lasting, patience)
                if error.is_expired:
                    self._connect()
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])

    def _try(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One try of a call.

        Raises:
            _PassingError: where another one may help.
        """
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**request)
            return answer
        except ClientError as error:
            code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            refused = RefusedError(operation, code, message, is_passing=code in _BUSY or status >= 500)
            if refused.is_passing:
                raise _PassingError(refused, code in _EXPIRED) from error
            raise refused from error
        except ParamValidationError as error:
            raise InputError(f"{operation}: {error}") from error
        except NoCredentialsError:
            raise InputError(_NO_CREDENTIALS) from None
        except (HTTPClientError, NoConnectionError, CredentialRetrievalError) as error:
            unreachable = RemoteError(f"{operation}: AWS cannot be reached: {error}")
            raise _PassingError(unreachable, isinstance(error, CredentialRetrievalError)) from error
        except BotoCoreError as error:
            raise RemoteError(f"{operation}: {error}") from error

    @property
    def region(self) -> str:
        return str(self.client("sagemaker").meta.region_name)

    def check_image(self, parameter: str, image: str) -> None:
        """Refuse an image that SageMaker cannot pull.

        The rule is SageMaker's own, so it holds where Amazon's SageMaker answers (VPC endpoints included:
        their hosts are in Amazon's domains). Where the environment names another service (AWS_ENDPOINT_URL),
        that one knows what it can run.
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

    def console_url(self, place: str) -> str:
        """A page of SageMaker's console, such as ``jobs/NAME``; '' where another service than Amazon's answers."""
        if not self._is_amazon:
            return ""
        partition = self._session.get_partition_for_region(self.region)
        domain = _CONSOLES.get(partition, "console.aws.amazon.com")
        return f"https://{self.region}.{domain}/sagemaker/home?region={self.region}#/{place}"


class _PassingError(Exception):
    """A call failed in a way that may pass.

    Attributes:
        lasting: what is raised if it does not.
        is_expired: whether the credentials are at fault.
    """

    def __init__(self, lasting: RemoteError, is_expired: bool) -> None:
        super().__init__(str(lasting))
        self.lasting, self.is_expired = lasting, is_expired


def _leave_retries_to_us(client: Any) -> None:
    """Have botocore try each call once: it waits up to a second, then two and four."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")


def _check_whole(response_dict: Mapping[str, Any], **_: Any) -> None:
    body, length = response_dict["body"], response_dict["headers"].get("content-length", "")
    if isinstance(body, bytes) and length.isdigit() and 0 < len(body) < int(length):
        raise _CutShortError(got=len(body), length=length)


def poll(limit: float = float("inf")) -> Iterator[float]:
    """Come round now and then, ever more rarely (each 0.5 to 10 s), for ``limit`` seconds.

    Yields:
        Seconds since the start.
    """
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < limit:
        yield elapsed
        least, most = _POLL_SECONDS
        time.sleep(min(most, max(least, elapsed * _POLL_SHARE)))
