"""Check of a SageMaker quota: it allows the instances of a job or an endpoint."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ncf.operators.checks.account import Account
from ncf.operators.checks.check import Check, FailedError, SkippedError

CALLS = ("servicequotas:ListServiceQuotas",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_PAGE = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"


class Quotas:
    """SageMaker's quotas in the region of an account, listed at most once."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def check(self, name: str, instance_type: str, usage: str, instances: int, need: str = "") -> Check:
        """The check of one quota.

        Args:
            name: of the check.
            instance_type: such as ``ml.m5.large``.
            usage: of the instances, as in the quota's name: ``endpoint``, ``training job``, ``spot training job``.
            instances: that are needed.
            need: words after "needed".
        """
        quota = f"{instance_type} for {usage} usage"
        by_hand = f"{_PAGE} should show {instances} or more for '{quota}'"
        return Check(name, lambda: self._check(quota, instances, need), CALLS[0], by_hand)

    def _check(self, name: str, instances: int, need: str) -> str:
        quota, region = self._by_name.get(name), self._account.region
        if quota is None:
            raise SkippedError(
                f"{region} has no quota '{name}'; check that this instance type exists in that region: {_PAGE}"
            )
        finding = f"'{name}' is {quota['Value']:g}; {instances} needed{need}"
        if quota["Value"] < instances:
            raise FailedError(
                f"{finding}; 'aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code "
                f"{quota['QuotaCode']} --desired-value {instances} --region {region}' requests an increase"
            )
        return finding

    @cached_property
    def _by_name(self) -> dict[str, dict[str, Any]]:
        pages = self._account.pages("service-quotas", "list_service_quotas", ServiceCode="sagemaker", MaxResults=100)
        return {quota["QuotaName"]: quota for page in pages for quota in page.get("Quotas", [])}
