"""Model packages that endpoints serve: their approval, and the record of what is where."""

from __future__ import annotations

from ncf.aws.names import PACKAGE_TAG, tag_list
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags, tags_of
from ncf.errors import InputError
from ncf.sagemaker.registry.names import APPROVED, COMPLETED
from ncf.sagemaker.registry.package import Package, describe, packages, set_properties
from ncf.sagemaker.registry.properties import ENDPOINT, MODEL_DIGEST, RELEASE
from ncf.sagemaker.registry.settings import NEVER

CALLS = ("sagemaker:AddTags", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig")
"""AWS calls of this module, from which the IAM permissions are generated."""

_ROUNDS = 3


def obstacle(package: Package) -> str:
    """Reason why a package may not be served, in words; '' if it may."""
    if package.properties.get(RELEASE) == NEVER:
        return f"{package.name} is a record of a run with 'release' = {NEVER}, and is not released"
    if package.state != COMPLETED:
        return f"{package.name} is {package.state} in the registry; only a completed package is released"
    if package.status != APPROVED:
        note = f" ({package.note})" if package.note else ""
        hint = f"`ncf approve {package.group}/{package.version} --note 'REASON'` approves it"
        return f"{package.name} is {package.status}{note}, and only an approved package is released; {hint}"
    return ""


def latest_servable(aws: Aws, group: str) -> Package | None:
    """The newest package of a group that may be served; None for none."""
    return next((package for package in packages(aws, group, APPROVED) if not obstacle(package)), None)


def check_approved(aws: Aws, arn: str) -> None:
    """Refuse a package that may not be served, as it is now.

    Raises:
        InputError: naming the package and its status.
    """
    package = describe(aws, arn)
    if reason := obstacle(package) if package else f"the model package {arn} was deleted":
        raise InputError(reason)


def check_model(package: Package, fingerprint: str) -> None:
    """Refuse a model that is not the one that was registered: anybody who writes to the bucket can replace it.

    Args:
        package: of the model.
        fingerprint: of the model where the package says that it lies.

    Raises:
        InputError: if the fingerprint is not that of the package, or a run has registered the package without one.
    """
    recorded = package.properties.get(MODEL_DIGEST, "")
    if recorded != fingerprint and (recorded or package.run):
        raise InputError(
            f"parameter 'package': the model at {package.model_uri} has the fingerprint {fingerprint}, but "
            f"{package.name} was registered with {recorded or 'none'}: it was replaced; register it again"
        )


def of_config(aws: Aws, config: str) -> tuple[Package | None, str]:
    """The package that an endpoint config was made for, by its tag; None for none.

    Returns:
        The package, and the reason why it may not be served, as of :func:`obstacle`.
    """
    arn = _arn_of(aws, config)
    package = describe(aws, arn) if arn else None
    if package:
        return package, obstacle(package)
    return None, f"the model package {arn} was deleted" if arn else ""


def _arn_of(aws: Aws, config: str) -> str:
    """ARN of the package that an endpoint config was made for; '' for none."""
    found = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=config)
    return readable_tags(aws, found["EndpointConfigArn"]).get(PACKAGE_TAG, "") if found else ""


def record(aws: Aws, endpoint: str, undone: str = "") -> None:
    """Record which package an endpoint serves: in the endpoint's tag, and in the properties of the packages.

    It is that of the config in service, whoever has brought it there. Another process may change it at any time, and
    records that itself, so it is looked at again at the end.

    Args:
        aws: clients to call.
        endpoint: its name.
        undone: ARN of the package of a deployment that was undone: a process may have been killed within its record.
    """
    recorded = None
    for _ in range(_ROUNDS):
        state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
        if state is None or state["EndpointConfigName"] == recorded:
            return
        recorded = state["EndpointConfigName"]
        served, arn = _arn_of(aws, recorded), state["EndpointArn"]
        former = tags_of(aws, arn).get(PACKAGE_TAG, "")
        if served:
            _set_endpoint(aws, served, "", endpoint)
        for package in {former, undone} - {served, ""}:
            _set_endpoint(aws, package, endpoint, "")
        if former != served:
            # at the end: the process may be killed before, and a retry has to find the former one
            aws.call("sagemaker", "add_tags", ResourceArn=arn, Tags=tag_list({PACKAGE_TAG: served}))


def _set_endpoint(aws: Aws, arn: str, before: str, after: str) -> None:
    """Set or clear the endpoint in the properties of a package, if they do not have it so and the package exists.

    Args:
        aws: clients to call.
        arn: of the package.
        before: endpoint that is replaced; '' for any. Another one stays: the package was deployed there meanwhile.
        after: endpoint to set; '' to clear it.
    """
    package = describe(aws, arn)
    if package is None:
        return
    present = package.properties.get(ENDPOINT, "")
    if present != after and before in ("", present):
        set_properties(aws, arn, {ENDPOINT: after})
