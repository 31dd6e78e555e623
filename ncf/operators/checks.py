"""Whether what the stages need is there: the checks of ``ncf doctor``, and those of AWS themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from ncf.aws.session import Aws, RefusedError
from ncf.errors import InputError, RemoteError
from ncf.operators import kfp_check, root_check
from ncf.operators.check import Check, FailedError, SkippedError
from ncf.operators.doctor import Doctor, bucket_name
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


class Examination:
    """The checks, and what one finds that others need."""

    def __init__(self, settings: Doctor) -> None:
        self._settings = settings
        self._has_credentials = True
        self._caller, self._account = "the caller", ""

    def checks(self) -> list[Check]:
        """The checks that are asked for, in order."""
        wanted = self._settings
        checks = [Check("credentials", self._credentials), self._role_check()]
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
        if wanted.namespace or wanted.pipeline_root:
            checks.append(Check("root", lambda: root_check.check(wanted), needs_aws=False))
        if wanted.kfp_host:
            checks.append(Check("kfp", lambda: kfp_check.check(wanted), needs_aws=False))
        return checks

    def verdict(self, check: Check) -> tuple[str, str]:
        """How a check ends, and what it says."""
        if check.needs_aws and not self._has_credentials:
            return "skipped", "there are no credentials that work"
        try:
            return "ok", check.look()
        except SkippedError as reason:
            return "skipped", str(reason)
        except RefusedError as error:
            if error.code in _DENIED:
                return "skipped", f"may not call {check.action}, allow it or check by hand: {check.by_hand}"
            return "FAILED", f"{error}; to see for yourself: {check.by_hand}"
        except RemoteError as error:
            return "FAILED", f"{error}; {_REACH}"
        except (FailedError, InputError) as error:
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
            raise FailedError(f"{error}; {_LOG_IN}") from None
        except RemoteError as error:
            if isinstance(error.__cause__, (HTTPClientError, NoConnectionError)):
                raise
            self._has_credentials = False
            raise FailedError(f"{error}; {self._credentials_advice(error)}") from None
        self._account = identity["Account"]
        self._caller = str(identity["Arn"])
        return self._caller

    def _credentials_advice(self, error: RemoteError) -> str:
        role = self._settings.assume_role
        if role and isinstance(error, RefusedError) and error.code in _DENIED:
            return f"let the trust policy of {role} name you, and your own policy allow {_ASSUME} on it"
        return f"the credentials may be wrong or have expired: {_LOG_IN}"

    def _role_check(self) -> Check:
        name = self._settings.role.rsplit("/", 1)[-1]
        by_hand = f"'aws iam get-role --role-name {name}' should show that {_SAGEMAKER} may {_ASSUME}"
        return Check("role", lambda: self._role(name), "iam:GetRole", by_hand)

    def _role(self, name: str) -> str:
        role = self._settings.role
        owner = role.split(":")[4]
        if self._account and owner != self._account:
            raise FailedError(
                f"{role} is in account {owner}, but calls are made in account {self._account}, and SageMaker takes "
                f"roles of its own account alone; give a --role of {self._account}, or use credentials of {owner}"
            )
        try:
            found = _call(self._aws, "iam", "get_role", RoleName=name)["Role"]
        except RefusedError as error:
            if error.code != "NoSuchEntity":
                raise
            raise FailedError(
                f"{role}: there is no such role; 'aws iam list-roles' lists those there are, 'aws iam create-role' "
                f"makes one, with {_SAGEMAKER} in its trust policy"
            ) from None
        if not _trusts_sagemaker(found.get("AssumeRolePolicyDocument") or {}):
            statement = {"Effect": "Allow", "Principal": {"Service": _SAGEMAKER}, "Action": _ASSUME}
            raise FailedError(
                f"{role} does not let SageMaker work as it; 'aws iam update-assume-role-policy --role-name {name}' "
                f"takes a policy with the statement {json.dumps(statement)}"
            )
        return f"{role} trusts {_SAGEMAKER}"

    def _bucket_check(self) -> Check:
        name = bucket_name(self._settings.bucket)
        by_hand = f"'aws s3api head-bucket --bucket {name}'"
        return Check("bucket", lambda: self._bucket(name), "s3:ListBucket", by_hand)

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
            raise FailedError(
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
            return FailedError(f"{uri}: there is no such bucket; 'aws s3 mb {uri} --region {region}' makes it")
        if refusal.code in ("403", *_DENIED):
            partition = self._settings.role.split(":")[1]
            caller = "your own identity, as no role is assumed for S3" if self._settings.assume_role else self._caller
            return FailedError(
                f"{uri}: access is refused; allow s3:ListBucket on arn:{partition}:s3:::{name} to "
                f"{caller}; or give another bucket, where this one is somebody else's"
            )
        return refusal

    def _image_check(self, name: str, image: str) -> Check:
        found = _IMAGE.fullmatch(image)
        if not found:
            return Check(name, lambda: self._no_ecr_image(image))
        identifier = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"] or "latest"}
        by_hand = (
            f"'aws ecr describe-images --registry-id {found['account']} --repository-name {found['name']} "
            f"--image-ids {','.join(f'{key}={value}' for key, value in identifier.items())} --region {found['region']}'"
        )
        return Check(name, lambda: self._image(found, identifier), "ecr:DescribeImages", by_hand)

    def _no_ecr_image(self, image: str) -> str:
        raise FailedError(
            f"{image} is not in ECR, and SageMaker pulls from nowhere else: expected "
            f"ACCOUNT.dkr.ecr.{self._aws.region}.amazonaws.com/NAME:TAG; 'make images push REGISTRY="
            f"{self._account or 'ACCOUNT'}.dkr.ecr.{self._aws.region}.amazonaws.com' puts ours there"
        )

    def _image(self, image: re.Match[str], identifier: Mapping[str, str]) -> str:
        region = self._aws.region
        if image["region"] != region:
            push = _push_command(image).replace(image["region"], region, 1)
            raise FailedError(
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
                raise FailedError(f"{image[0]}: there is no such repository; {create}, then {push}") from None
            if error.code == "ImageNotFoundException":
                raise FailedError(f"{image[0]}: the repository has no such image; {push} puts it there") from None
            raise
        return image[0]

    def _quota_check(self, name: str, instance_type: str, usage: str, wanted: int) -> Check:
        quota = f"{instance_type} for {usage} usage"
        by_hand = f"{_QUOTAS_PAGE} should show {wanted} or more for '{quota}'"
        return Check(name, lambda: self._quota(quota, wanted), "servicequotas:ListServiceQuotas", by_hand)

    def _quota(self, name: str, wanted: int) -> str:
        quota = self._quotas.get(name)
        if quota is None:
            raise SkippedError(
                f"{self._aws.region} has no quota '{name}'; see that this type of instance exists there: {_QUOTAS_PAGE}"
            )
        if quota["Value"] < wanted:
            raise FailedError(
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
