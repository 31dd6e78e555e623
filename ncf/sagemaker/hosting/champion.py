"""The champion: the model that a new one would replace, of an endpoint or from the Model Registry."""

from __future__ import annotations

from dataclasses import dataclass

from ncf.aws.names import RUN_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.hosting.deployed_model import deployed_model
from ncf.sagemaker.hosting.live import live_endpoints, live_packages
from ncf.sagemaker.hosting.packages import obstacle
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import packages
from ncf.storage import is_s3

CALLS = ("sagemaker:DescribeEndpoint",)
"""AWS calls of this module, from which the IAM permissions are generated."""


@dataclass(frozen=True)
class ChampionModel:
    """The champion of a run, or the reason for none.

    Attributes:
        uri: of the model's folder in S3, or of its archive; '' for none.
        name: endpoint or package.
        is_live: whether an endpoint serves it.
        absence: reason for no champion; '' otherwise.
    """

    uri: str = ""
    name: str = ""
    is_live: bool = False
    absence: str = ""


def champion_model(aws: Aws, settings: ChampionSettings, run: str) -> ChampionModel:
    """The model of the endpoint; else the live package of the group; else its latest approved package.

    A model of the run itself is no champion: a stage may be tried again after the model has been deployed.

    Args:
        aws: clients.
        settings: where to look.
        run: ID of the run; '' for none.

    Raises:
        RemoteError: if AWS refuses a call or cannot be reached.
        InputError: without credentials or a region.
    """
    endpoint, group, reasons = settings.champion_endpoint, settings.champion_group, []
    if endpoint:
        if run and _run_of(aws, endpoint) == run:
            reasons.append(f"Endpoint {endpoint} serves this run's own model.")
        else:
            deployed = deployed_model(aws, endpoint)
            if deployed.uri:
                return ChampionModel(deployed.uri, f"endpoint {endpoint}", is_live=True)
            reasons.append(deployed.absence)
    if group:
        approved = (package for package in packages(aws, group, APPROVED) if not obstacle(package))
        for found, kind in ((live_packages(aws, group, live_endpoints(aws)), "live"), (approved, "approved")):
            package = next((one for one in found if not (run and one.run == run) and is_s3(one.model_uri)), None)
            if package:
                return ChampionModel(package.model_uri, f"{kind} package {package.name}", is_live=kind == "live")
        reasons.append(f"No other version of the model package group {group} is live or approved.")
    return ChampionModel(absence=" ".join(reasons))


def _run_of(aws: Aws, endpoint: str) -> str:
    """ID of the run that has deployed to an endpoint; '' if the endpoint does not exist or does not say."""
    answer = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    return readable_tags(aws, answer["EndpointArn"]).get(RUN_TAG, "") if answer else ""
