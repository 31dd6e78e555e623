"""The stand-in of another process of this machine, met by its environment variables."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from components.local.aws import triggers
from components.local.aws.errors import ApiError
from components.local.aws.faults import PATH as FAULTS_PATH
from components.local.aws.services import Services

REQUIRED = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
"""Variables without which it cannot be called."""
_SECONDS = 20.0


class RemoteAws:
    """S3 and SageMaker of a running :class:`LocalAws` in another process.

    Args:
        environment: its variables, with the URL and the access key.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._url, self._region = environment["AWS_ENDPOINT_URL"], environment["AWS_DEFAULT_REGION"]
        self._services = Services(self._url, environment, self._region)

    def has_bucket(self, name: str) -> bool:
        """Whether it answers this key, and has a bucket."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._services.probe.head_bucket(Bucket=name)
        except (BotoCoreError, ClientError):
            return False
        return True

    def invoke(self, endpoint: str, request: Mapping[str, Any], target: str = "") -> dict[str, Any]:
        """The answer of an endpoint to a JSON request, for the target model of a multi-model endpoint."""
        return self._services.invoke(endpoint, request, target)

    def deploy_triggers(self, template: Mapping[str, Any], buckets: Iterable[str]) -> dict[str, str]:
        """Deploy the template of triggers: see :func:`components.local.aws.triggers.deploy`."""
        return triggers.deploy(self._services, template, buckets)

    def add_fault(self, fault: Mapping[str, Any]) -> None:
        """Request a fault: see :class:`components.local.aws.faults.Fault`.

        Raises:
            ApiError: if it is invalid, or the stand-in does not answer.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("POST", f"{self._url}{FAULTS_PATH}", data=json.dumps(fault).encode())
        key = Credentials(self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(key, "sagemaker", self._region).add_auth(request)
        prepared = request.prepare()
        signed = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method="POST")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(signed, timeout=_SECONDS):
                return
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
            raise ApiError(answer["__type"], answer["message"], error.code) from None
        except OSError as error:
            raise ApiError("ServiceUnavailable", f"the stand-in at {self._url} does not answer: {error}") from None
