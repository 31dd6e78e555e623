"""Deployment of one model to a multi-model endpoint, which is created with its first model."""

from __future__ import annotations

from collections.abc import Callable

from ncf.aws.names import DEPLOYED_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError
from ncf.sagemaker.hosting.deployment import Checked, deploy
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, is_multi_model
from ncf.sagemaker.hosting.multi_model import model_of
from ncf.sagemaker.staging import model_uri

CALLS = ("sagemaker:DescribeEndpoint",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def deploy_one(
    aws: Aws, plan: EndpointPlan, upload: Callable[[], None], check: Callable[[], Checked], permit: Callable[[], None]
) -> Checked:
    """Add a model to an endpoint, which is created, or updated if its settings differ.

    If the check fails, an endpoint that was created or updated returns to its state before. One that had these settings
    before stays as it is.

    Args:
        aws: clients to call.
        plan: of the endpoint.
        upload: copies the archive of the model to S3.
        check: tests the model on the endpoint in service; raises if the test fails.
        permit: raises if the model may not be served.

    Returns:
        The result of the check.

    Raises:
        As :func:`ncf.sagemaker.hosting.deployment.deploy`.
    """
    permit()
    upload()
    if not _is_tested(aws, plan):
        return deploy(aws, plan, lambda: None, check, permit)
    deploy(aws, plan, lambda: None, lambda: None)  # sets up autoscaling
    return check()


def check_kind(aws: Aws, plan: EndpointPlan) -> None:
    """Refuse a deployment that takes an endpoint from those who use it.

    Raises:
        InputError: if the endpoint has one model and would get several, or the reverse, or others under another prefix.
    """
    model = model_of(aws, plan.name)
    if model is None:
        return
    several = is_multi_model(model)
    if several and not plan.is_multi_model:
        raise InputError(
            f"parameter 'target_model' is '': endpoint {plan.name} hosts several models, which this deployment would "
            "remove; give the name of the model, or another 'endpoint_name'"
        )
    if plan.is_multi_model and not several:
        raise InputError(
            f"parameter 'target_model' is '{plan.settings.target_model}': endpoint {plan.name} has one model, and its "
            "applications name none; give another 'endpoint_name'"
        )
    if plan.is_multi_model and (found := model_uri(model)) != plan.model:
        raise InputError(
            f"parameter 's3_prefix' is '{plan.settings.s3_prefix}': endpoint {plan.name} has its models in {found}; "
            f"expected the prefix of that URI"
        )


def _is_tested(aws: Aws, plan: EndpointPlan) -> bool:
    """Whether an endpoint has the settings of a plan, and has passed a smoke test with them."""
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=plan.name)
    if state is None or state["EndpointConfigName"] != plan.version:
        return False
    return tags_of(aws, state["EndpointArn"]).get(DEPLOYED_TAG) == plan.version
