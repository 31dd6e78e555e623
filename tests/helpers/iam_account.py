"""IAM in front of an AWS account on this machine: each call of a program is decided on by a role of the template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError
from iam import ACCOUNT, STACK, Policy
from iam_requests import Asked, asked
from local_account import BUCKET, ROLE

from components.cluster.permissions import template
from ncf import storage
from ncf.aws.session import Aws

CONDITIONS = ("HasNotifyTopicArn", "HasAssumedRoleArn", "HasDataBucket", "HasReleaseAtOnce")


def stack(team: str) -> dict[str, str]:
    """Parameters of a team's stack. The teams share a bucket, and the prefixes of names, as carelessly as can be."""
    roles = {"TrainingRole.Arn": ROLE, "HostingRole.Arn": ROLE} if team == "team-a" else {}
    others = {f"{name}.Arn": f"{ROLE}-{team}" for name in ("TrainingRole", "HostingRole")}
    return {
        **ACCOUNT,
        **STACK,
        **others,
        **roles,
        "Namespace": team,
        "Bucket": BUCKET,
        "Prefix": "ncf/" if team == "team-a" else f"{team}/",
        "DataBucket": BUCKET,
        "DataPrefix": f"data-{team}/",
        "NotifyTopicArn": f"arn:aws:sns:us-east-1:123456789012:{team}",
        "AssumedRoleArn": f"{ROLE}-assumed-{team}",
    }


def policy(role: str, team: str) -> Policy:
    """The policy of a role of the template: PodRole, TrainingRole, HostingRole or OperatorPolicy."""
    properties = template()["Resources"][role]["Properties"]
    document = properties["Policies"][0]["PolicyDocument"] if "Policies" in properties else properties["PolicyDocument"]
    return Policy(document, stack(team), CONDITIONS)


class Decision(NamedTuple):
    """What IAM has decided on for a team, with all condition keys."""

    action: str
    resource: str
    keys: dict[str, Any]
    team: str


class Iam:
    """Decides on the calls of a program, and refuses them as AWS does.

    Attributes:
        made: all decisions.
        denied: decisions that refused a call.
    """

    def __init__(self, account: Any) -> None:
        self._account = account
        self._alarms = boto3.client("cloudwatch") if account else None
        self.made: list[Decision] = []
        self.denied: list[Decision] = []
        self.by("PodRole", "team-a")

    def by(self, role: str, team: str) -> None:
        """The role and its team that call from now on."""
        self._policies, self._team = [policy(role, team)], team

    def watch(self, client: Any, *roles: Policy) -> Any:
        """Decide on each call of a client.

        Args:
            client: of boto3.
            roles: of which one is to allow a call; without any, that of :meth:`by`.
        """
        service = client.meta.service_model.service_name

        def decide(params: dict[str, Any], model: Any, **_: Any) -> None:
            for one in asked(service, model.name, params):
                decision = Decision(one.action, one.resource, {**one.keys, **self._tags(one)}, self._team)
                self.made.append(decision)
                if not any(policy.allows(*decision[:3]) for policy in roles or self._policies):
                    self.denied.append(decision)
                    code = "AccessDenied" if service == "s3" else "AccessDeniedException"
                    message = f"no identity-based policy allows the {one.action} action on {one.resource}"
                    raise ClientError({"Error": {"Code": code, "Message": message}}, model.name)

        client.meta.events.register("before-parameter-build", decide, unique_id="iam")
        return client

    def _tags(self, one: Asked) -> dict[str, str]:
        """Condition keys of the present tags of a resource."""
        tags: list[dict[str, str]] = []
        if self._account and one.resource.startswith("arn:aws:sagemaker:"):
            tags = self._account._api.tags._by_arn.get(one.resource, [])
        elif self._alarms and ":alarm:" in one.resource and not one.resource.endswith("*"):
            tags = self._alarms.list_tags_for_resource(ResourceARN=one.resource)["Tags"]
        return {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags}


@contextmanager
def iam(account: Any = None) -> Iterator[Iam]:
    """IAM for all clients of the library; and for those of the stand-in's jobs and endpoints, which have own roles."""
    decides = Iam(account)
    of_aws, of_s3, of_session = Aws.client, storage._client, boto3.Session.client

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **more: decides.watch(original(*given, **more))

    def assuming(self: Any, service: str, *given: Any, **more: Any) -> Any:
        client = of_session(self, service, *given, **more)
        return decides.watch(client) if service == "sts" else client

    s3: Any = watched(of_s3)
    s3.cache_clear = of_s3.cache_clear
    if account:
        roles = [policy(role, "team-a") for role in ("TrainingRole", "HostingRole")]
        for client in (account._api._services.s3, account._api._services.logs):
            decides.watch(client, *roles)
    with (
        patch.object(Aws, "client", watched(of_aws)),
        patch.object(storage, "_client", s3),
        patch.object(boto3.Session, "client", assuming),
    ):
        yield decides
    if account:
        for client in (account._api._services.s3, account._api._services.logs):
            client.meta.events.unregister("before-parameter-build", unique_id="iam")
    of_s3.cache_clear()
