"""Model packages that endpoints serve: whether they may, and the tag that names them."""

from __future__ import annotations

from ncf.aws.names import PACKAGE_TAG, tag_list
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError
from ncf.sagemaker.hosting.deployed_model import package_of_config
from ncf.sagemaker.registry.decision import change_after_approval
from ncf.sagemaker.registry.names import APPROVED, COMPLETED
from ncf.sagemaker.registry.package import Package, describe, packages
from ncf.sagemaker.registry.properties import MODEL_DIGEST, RELEASE
from ncf.sagemaker.registry.settings import NEVER

CALLS = ("sagemaker:AddTags", "sagemaker:DescribeEndpoint")
"""AWS calls of this module, from which the IAM permissions are generated."""

_ROUNDS = 3


def obstacle(package: Package) -> str:
    """Reason why a package may not be served, in words; '' if it may."""
    hint = f"'ncf approve {package.group}/{package.version} --note REASON' approves it"
    if package.properties.get(RELEASE) == NEVER:
        return f"{package.name} is a record of a run with 'release' = {NEVER}, and is not released"
    if package.state != COMPLETED:
        return f"{package.name} is {package.state} in the registry; only a completed package is released"
    if package.status != APPROVED:
        note = f" ({package.note})" if package.note else ""
        return f"{package.name} is {package.status}{note}, and only an approved package is released; {hint}"
    if package.containers != 1:
        return f"{package.name} has {package.containers} containers; only a package with one is released"
    try:
        package.model_in_s3()
    except InputError as error:
        return str(error)
    if change := change_after_approval(package):
        return f"{change}; {hint} as it is"
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
    """The package that the model of an endpoint config was created from; None for none.

    Returns:
        The package, and the reason why it may not be served, as of :func:`obstacle`.
    """
    arn = package_of_config(aws, config)
    package = describe(aws, arn) if arn else None
    if package:
        return package, obstacle(package)
    return None, f"the model package {arn} was deleted" if arn else ""


def record(aws: Aws, endpoint: str) -> None:
    """Tag an endpoint with the package of the config in service, whoever has brought it there.

    Another process may change it at any time, and records that itself, so it is looked at again at the end. The tag is
    for people and bills: :mod:`ncf.sagemaker.hosting.live` does not depend on it.
    """
    recorded = None
    for _ in range(_ROUNDS):
        state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
        if state is None or state["EndpointConfigName"] == recorded:
            return
        recorded = state["EndpointConfigName"]
        served, arn = package_of_config(aws, recorded), state["EndpointArn"]
        if tags_of(aws, arn).get(PACKAGE_TAG, "") != served:
            aws.call("sagemaker", "add_tags", ResourceArn=arn, Tags=tag_list({PACKAGE_TAG: served}))
