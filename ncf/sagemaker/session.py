"""Calls to AWS: who calls, how often a call is tried, and what a refusal is turned into."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)
from botocore.session import get_session

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.settings import AwsSettings

# standard mode retries throttling, 5xx and dropped connections, 20 s apart at most
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 10}, connect_timeout=10, read_timeout=70)
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
_ECR_IMAGE = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.\S+/\S+")
_NO_CREDENTIALS = "no AWS credentials were found: annotate the pod's service account, or log in"
_POLL_SECONDS, _POLL_SHARE = (0.5, 10.0), 0.05


class RefusedError(RemoteError):
    """AWS refused a call.

    Attributes:
        code: of the API, such as ``ValidationException``.
    """

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"AWS refused {operation}: {code}: {message}")
        self.code, self.message = code, message

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


class Aws:
    """Clients in one region under one identity."""

    def __init__(self, settings: AwsSettings) -> None:
        core = get_session()
        if settings.assume_role:
            source = boto3.Session(botocore_session=get_session(), region_name=settings.region or None)
            if source.get_credentials() is None:
                raise InputError(_NO_CREDENTIALS)
            fetcher = AssumeRoleCredentialFetcher(
                client_creator=source.client,
                source_credentials=source.get_credentials(),
                role_arn=settings.assume_role,
                extra_args={"RoleSessionName": "ncf"},
            )
            # refreshed as it expires: a job may take longer than the role's session
            core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
        self._session = boto3.Session(botocore_session=core, region_name=settings.region or None)
        self._clients: dict[str, Any] = {}
        self._partition = settings.role.split(":")[1]

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        if service not in self._clients:
            try:
                self._clients[service] = self._session.client(service, config=_CONFIG)
            except NoRegionError:
                raise InputError("region: none is given, and the environment names none (AWS_REGION)") from None
        return self._clients[service]

    def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """One API call, tried again where that can help.

        Args:
            service: such as ``sagemaker``.
            operation: such as ``describe_endpoint``.

        Raises:
            RefusedError: if AWS says no.
            RemoteError: if it cannot be reached.
            InputError: without credentials, or for a value that the API cannot take.
        """
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**request)
            return answer
        except ClientError as error:
            said = error.response["Error"]
            raise RefusedError(operation, said.get("Code", ""), said.get("Message", "")) from error
        except ParamValidationError as error:
            raise InputError(f"{operation}: {error}") from error
        except NoCredentialsError:
            raise InputError(_NO_CREDENTIALS) from None
        except BotoCoreError as error:
            raise RemoteError(f"{operation}: AWS cannot be reached: {error}") from error

    @property
    def region(self) -> str:
        return str(self.client("sagemaker").meta.region_name)

    def check_image(self, parameter: str, image: str) -> None:
        """Refuse an image that SageMaker cannot pull.

        The rule is SageMaker's own, so it holds where Amazon's SageMaker answers (VPC endpoints included:
        their hosts are in Amazon's domains). Where the environment names another service (AWS_ENDPOINT_URL),
        that one knows what it can run.
        """
        host = urlsplit(self.client("sagemaker").meta.endpoint_url).hostname or ""
        if host.endswith(_AMAZON) and not _ECR_IMAGE.fullmatch(image):
            raise InputError(
                f"parameter '{parameter}' is '{image}': SageMaker pulls images from ECR only; expected "
                "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
            )

    def console_url(self, place: str) -> str:
        """A page of SageMaker's console, such as ``jobs/NAME``."""
        domain = _CONSOLES.get(self._partition, "console.aws.amazon.com")
        return f"https://{self.region}.{domain}/sagemaker/home?region={self.region}#/{place}"


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
