"""Whether what the stages need of AWS and KFP is there: the checks of ``ncf doctor``."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import urlopen

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.doctor import Doctor, bucket_name
from ncf.sagemaker.session import Aws, RefusedError
from ncf.sagemaker.settings import AwsAccess
from ncf.storage import S3_SCHEME

CALLS: tuple[str, ...] = (
    "ecr:DescribeImages",
    "iam:GetRole",
    "s3:ListBucket",
    "servicequotas:ListServiceQuotas",
    "sts:GetCallerIdentity",
)
"""What this module calls: permissions are made from it."""

_SAGEMAKER, _ASSUME = "sagemaker.amazonaws.com", "sts:AssumeRole"
_DENIED = ("AccessDenied", "AccessDeniedException")
_IMAGE = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z.]+)/(?P<name>[^:@\s]+)"
    r"(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOG_IN = "'aws configure' or 'aws sso login' gives you some, AWS_PROFILE chooses among them, --region names the region"
_QUOTAS_PAGE = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"
_REACH = "see whether the network lets it through: a proxy (HTTPS_PROXY), a firewall, a VPC endpoint of the service"
_KFP_PATHS = ("/apis/v2beta1/healthz", "/apis/v1beta1/healthz")
_KFP_SECONDS, _KFP_BYTES = 10.0, 65_536
_FORWARD = "'kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888', then --kfp-host http://localhost:8888"
_LOOK_AT_PODS = "'kubectl get pods -n kubeflow' shows whether KFP runs"
_KFP_ADVICE: Mapping[type[OSError], str] = {
    ConnectionRefusedError: f"nothing listens there; to bring the API here: {_FORWARD}",
    socket.gaierror: "check the name in --kfp-host, and whether it is known without a VPN",
    ssl.SSLError: "where the certificate is of your own making, SSL_CERT_FILE=CA.pem makes it known",
    TimeoutError: f"a firewall may be in the way; to go past it: {_FORWARD}",
}


class _FailedError(Exception):
    """Something is wrong; the message says what, and what to do about it."""


class _SkippedError(Exception):
    """It cannot be told; the message says why."""


class _NoApiError(_FailedError):
    """Something else than KFP's API answers."""


@dataclass(frozen=True)
class _Check:
    """One line of what is printed.

    Attributes:
        name: of the check.
        look: returns what is well; raises otherwise.
        action: IAM action without which it is skipped; '' for none.
        by_hand: what tells the same to who has that permission.
        needs_aws: whether it is pointless without credentials.
    """

    name: str
    look: Callable[[], str]
    action: str = ""
    by_hand: str = ""
    needs_aws: bool = True


class Examination:
    """The checks, and what one finds that others need."""

    def __init__(self, settings: Doctor) -> None:
        self._settings = settings
        self._has_credentials = True
        self._caller, self._account = "the caller", ""

    def checks(self) -> list[_Check]:
        """The checks that are asked for, in order."""
        wanted = self._settings
        checks = [_Check("credentials", self._credentials), self._role_check()]
        if wanted.bucket:
            checks.append(self._bucket_check())
        images = {"train image": wanted.train_image, "deploy image": wanted.deploy_image}
        checks += [self._image_check(name, image) for name, image in images.items() if image]
        if wanted.instance_type and wanted.instance_count:
            usage = "spot training job" if wanted.spot_instance else "training job"
            checks.append(self._quota_check("train quota", wanted.instance_type, usage, wanted.instance_count))
        if wanted.endpoint_instance_type and wanted.initial_instance_count:
            instance_type, count = wanted.endpoint_instance_type, wanted.initial_instance_count
            checks.append(self._quota_check("deploy quota", instance_type, "endpoint", count))
        if wanted.kfp_host:
            checks.append(_Check("kfp", lambda: _check_kfp(wanted.kfp_host), needs_aws=False))
        return checks

    def verdict(self, check: _Check) -> tuple[str, str]:
        """How a check ends, and what it says."""
        if check.needs_aws and not self._has_credentials:
            return "skipped", "there are no credentials that work"
        try:
            return "ok", check.look()
        except _SkippedError as reason:
            return "skipped", str(reason)
        except RefusedError as error:
            if error.code in _DENIED:
                return "skipped", f"may not call {check.action}, allow it or check by hand: {check.by_hand}"
            return "FAILED", f"{error}; to see for yourself: {check.by_hand}"
        except RemoteError as error:
            return "FAILED", f"{error}; {_REACH}"
        except (_FailedError, InputError) as error:
            return "FAILED", str(error)

    @cached_property
    def _aws(self) -> Aws:
        wanted = self._settings
        return Aws(AwsAccess.model_validate({"region": wanted.region, "assume_role": wanted.assume_role}))

    @cached_property
    def _aws_for_s3(self) -> Aws:
        """The stages use S3 as themselves, whatever role they assume."""
        wanted = self._settings
        return Aws(AwsAccess.model_validate({"region": wanted.region})) if wanted.assume_role else self._aws

    def _credentials(self) -> str:
        try:
            _ = self._aws.region  # without one, STS alone would answer
            identity = _call(self._aws, "sts", "get_caller_identity")
        except InputError as error:
            self._has_credentials = False
            raise _FailedError(f"{error}; {_LOG_IN}") from None
        except RemoteError as error:
            if isinstance(error.__cause__, (HTTPClientError, NoConnectionError)):
                raise
            self._has_credentials = False
            raise _FailedError(f"{error}; {self._credentials_advice(error)}") from None
        self._account = identity["Account"]
        self._caller = str(identity["Arn"])
        return self._caller

    def _credentials_advice(self, error: RemoteError) -> str:
        role = self._settings.assume_role
        if role and isinstance(error, RefusedError) and error.code in _DENIED:
            return f"let the trust policy of {role} name you, and your own policy allow {_ASSUME} on it"
        return f"the credentials may be wrong or have expired: {_LOG_IN}"

    def _role_check(self) -> _Check:
        name = self._settings.role.rsplit("/", 1)[-1]
        by_hand = f"'aws iam get-role --role-name {name}' should show that {_SAGEMAKER} may {_ASSUME}"
        return _Check("role", lambda: self._role(name), "iam:GetRole", by_hand)

    def _role(self, name: str) -> str:
        role = self._settings.role
        owner = role.split(":")[4]
        if self._account and owner != self._account:
            raise _FailedError(
                f"{role} is in account {owner}, but calls are made in account {self._account}, and SageMaker takes "
                f"roles of its own account alone; give a --role of {self._account}, or use credentials of {owner}"
            )
        try:
            found = _call(self._aws, "iam", "get_role", RoleName=name)["Role"]
        except RefusedError as error:
            if error.code != "NoSuchEntity":
                raise
            raise _FailedError(
                f"{role}: there is no such role; 'aws iam list-roles' lists those there are, 'aws iam create-role' "
                f"makes one, with {_SAGEMAKER} in its trust policy"
            ) from None
        if not _trusts_sagemaker(found.get("AssumeRolePolicyDocument") or {}):
            statement = {"Effect": "Allow", "Principal": {"Service": _SAGEMAKER}, "Action": _ASSUME}
            raise _FailedError(
                f"{role} does not let SageMaker work as it; 'aws iam update-assume-role-policy --role-name {name}' "
                f"takes a policy with the statement {json.dumps(statement)}"
            )
        return f"{role} trusts {_SAGEMAKER}"

    def _bucket_check(self) -> _Check:
        name = bucket_name(self._settings.bucket)
        by_hand = f"'aws s3api head-bucket --bucket {name}'"
        return _Check("bucket", lambda: self._bucket(name), "s3:ListBucket", by_hand)

    def _bucket(self, name: str) -> str:
        uri, region = f"{S3_SCHEME}{name}", self._aws.region
        try:
            answer, refusal = _call(self._aws_for_s3, "s3", "head_bucket", Bucket=name), None
        except RefusedError as error:
            if not isinstance(error.__cause__, ClientError):
                raise
            answer, refusal = error.__cause__.response, error
        found = _bucket_region(answer)
        if (found and found != region) or (refusal and refusal.code in ("301", "PermanentRedirect")):
            raise _FailedError(
                f"{uri}: it is in {found or 'another region'}, but SageMaker is called in {region} and uses "
                f"buckets there alone; give --region {found or 'REGION'}, or a bucket in {region}"
            )
        if refusal:
            raise self._bucket_failure(name, refusal)
        return f"{uri} in {region}"

    def _bucket_failure(self, name: str, refusal: RefusedError) -> Exception:
        """What S3's bare status codes mean."""
        uri, region = f"{S3_SCHEME}{name}", self._aws.region
        if refusal.code in ("404", "NoSuchBucket"):
            return _FailedError(f"{uri}: there is no such bucket; 'aws s3 mb {uri} --region {region}' makes it")
        if refusal.code in ("403", *_DENIED):
            partition = self._settings.role.split(":")[1]
            caller = "your own identity, as no role is assumed for S3" if self._settings.assume_role else self._caller
            return _FailedError(
                f"{uri}: access is refused; allow s3:ListBucket on arn:{partition}:s3:::{name} to "
                f"{caller}; or give another bucket, where this one is somebody else's"
            )
        return refusal

    def _image_check(self, name: str, image: str) -> _Check:
        found = _IMAGE.fullmatch(image)
        if not found:
            return _Check(name, lambda: self._no_ecr_image(image))
        identifier = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"] or "latest"}
        by_hand = (
            f"'aws ecr describe-images --registry-id {found['account']} --repository-name {found['name']} "
            f"--image-ids {','.join(f'{key}={value}' for key, value in identifier.items())} --region {found['region']}'"
        )
        return _Check(name, lambda: self._image(found, identifier), "ecr:DescribeImages", by_hand)

    def _no_ecr_image(self, image: str) -> str:
        raise _FailedError(
            f"{image} is not in ECR, and SageMaker pulls from nowhere else: expected "
            f"ACCOUNT.dkr.ecr.{self._aws.region}.amazonaws.com/NAME:TAG; 'make images push REGISTRY="
            f"{self._account or 'ACCOUNT'}.dkr.ecr.{self._aws.region}.amazonaws.com' puts ours there"
        )

    def _image(self, image: re.Match[str], identifier: Mapping[str, str]) -> str:
        region = self._aws.region
        if image["region"] != region:
            push = _push_command(image).replace(image["region"], region, 1)
            raise _FailedError(
                f"{image[0]} is in {image['region']}, but SageMaker is called in {region} and pulls from there alone; "
                f"'{push}' puts it there, or give --region {image['region']}"
            )
        request = {"registryId": image["account"], "repositoryName": image["name"], "imageIds": [identifier]}
        try:
            _call(self._aws, "ecr", "describe_images", **request)
        except RefusedError as error:
            push = f"'{_push_command(image)}'"
            if error.code == "RepositoryNotFoundException":
                create = f"'aws ecr create-repository --repository-name {image['name']} --region {region}'"
                raise _FailedError(f"{image[0]}: there is no such repository; {create}, then {push}") from None
            if error.code == "ImageNotFoundException":
                raise _FailedError(f"{image[0]}: the repository has no such image; {push} puts it there") from None
            raise
        return image[0]

    def _quota_check(self, name: str, instance_type: str, usage: str, wanted: int) -> _Check:
        quota = f"{instance_type} for {usage} usage"
        by_hand = f"{_QUOTAS_PAGE} should show {wanted} or more for '{quota}'"
        return _Check(name, lambda: self._quota(quota, wanted), "servicequotas:ListServiceQuotas", by_hand)

    def _quota(self, name: str, wanted: int) -> str:
        quota = self._quotas.get(name)
        if quota is None:
            raise _SkippedError(
                f"{self._aws.region} has no quota '{name}'; see that this type of instance exists there: {_QUOTAS_PAGE}"
            )
        if quota["Value"] < wanted:
            raise _FailedError(
                f"'{name}' is {quota['Value']:g}, and {wanted} wanted; 'aws service-quotas "
                f"request-service-quota-increase --service-code sagemaker --quota-code {quota['QuotaCode']} "
                f"--desired-value {wanted} --region {self._aws.region}' requests an increase"
            )
        return f"'{name}' is {quota['Value']:g}, and {wanted} wanted"

    @cached_property
    def _quotas(self) -> dict[str, dict[str, Any]]:
        """SageMaker's quotas by name."""
        quotas: dict[str, dict[str, Any]] = {}
        request = {"ServiceCode": "sagemaker", "MaxResults": 100}
        while True:
            page = _call(self._aws, "service-quotas", "list_service_quotas", **request)
            quotas |= {quota["QuotaName"]: quota for quota in page.get("Quotas", [])}
            if not page.get("NextToken"):
                return quotas
            request["NextToken"] = page["NextToken"]


def _call(aws: Aws, service: str, operation: str, **request: Any) -> dict[str, Any]:
    """A call that does not wait for better times: how things stand now is what is asked."""
    return aws.call(service, operation, patience=0.0, **request)


def _trusts_sagemaker(policy: Mapping[str, Any] | str) -> bool:
    """Whether a role's trust policy lets SageMaker work as it; conditions are taken to hold."""
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    return any(_allows_sagemaker(statement) for statement in _as_list(document.get("Statement")))


def _allows_sagemaker(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _as_list(principal.get("Service")) if isinstance(principal, Mapping) else []
    actions = _as_list(statement.get("Action"))
    return (
        statement.get("Effect") == "Allow"
        and _SAGEMAKER in services
        and any(fnmatchcase(_ASSUME.lower(), action.lower()) for action in actions)
    )


def _as_list(value: Any) -> list[Any]:
    """What policies write as one thing or as a list of them."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _bucket_region(answer: Mapping[str, Any]) -> str:
    """Where a bucket is, as S3 says even where it refuses; '' if it does not say."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region", ""))


def _push_command(image: re.Match[str]) -> str:
    """What pushes our images to where this one is to be."""
    tag = "" if image["digest"] else f" TAG={image['tag'] or 'latest'}"
    folder = image["name"].rpartition("/")[0]
    return f"make images push REGISTRY={image['registry']}{folder and '/'}{folder}{tag}"


def _check_kfp(host: str) -> str:
    strangers = []
    for path in _KFP_PATHS:
        try:
            _ask_kfp(f"{host}{path}")
            return f"{host} answers at {path}"
        except _NoApiError as error:
            strangers.append(error)
    raise strangers[0]


def _ask_kfp(url: str) -> None:
    """Have KFP say that it is well.

    Raises:
        _FailedError: if it does not.
    """
    try:
        with urlopen(url, timeout=_KFP_SECONDS) as answer:
            body, place = answer.read(_KFP_BYTES), answer.url
    except HTTPError as error:
        raise _http_failure(url, error.code) from None
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        advice = next((text for kind, text in _KFP_ADVICE.items() if isinstance(cause, kind)), "")
        raise _FailedError(f"{url}: {cause}; {advice or _LOOK_AT_PODS}") from None
    try:
        json.loads(body)
    except ValueError:
        raise _NoApiError(
            f"{url}: a web page answers ({place}), not the API: most likely a log-in, which programs cannot fill in, "
            f"so go past it: {_FORWARD}; or Kubeflow's dashboard, whose --kfp-host ends in /pipeline"
        ) from None


def _http_failure(url: str, status: int) -> _FailedError:
    """What an HTTP status other than 200 means, and what to do about it."""
    if status == 401:
        return _FailedError(
            f"{url}: a log-in is asked for (401), and this command has no token; go past it: {_FORWARD}"
        )
    if status == 403:
        return _FailedError(
            f"{url}: access is refused (403); have your user added to the namespace's profile, or go past the "
            f"gateway: {_FORWARD}"
        )
    if status == 404:
        return _NoApiError(
            f"{url}: there is no KFP API (404); behind Kubeflow's dashboard --kfp-host ends in /pipeline; "
            f"straight to the API: {_FORWARD}"
        )
    return _FailedError(f"{url}: it answers with {status}; {_LOOK_AT_PODS}")
