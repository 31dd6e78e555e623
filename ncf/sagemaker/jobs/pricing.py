"""Price, cores and memory of an instance of a job, from AWS's price list.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.forecast.machines import Machine, TrainingInstances, cores_by_name

_PATIENCE_SECONDS = 5.0
_GIB = 2.0**30

CALLS = ("pricing:GetProducts",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def instance_price(aws: Aws, instance_type: str, used_for: str) -> float | None:
    """On-demand price of an instance in the session's region, USD per hour; None if the list has none.

    Args:
        aws: clients to call.
        instance_type: such as ``ml.g5.xlarge``.
        used_for: component of SageMaker in the price list, such as ``Training``.
    """
    return training_instances(aws, instance_type, 1, used_for=used_for).usd_per_hour


def training_instances(
    aws: Aws, instance_type: str, count: int, price_per_hour: float = 0.0, used_for: str = "Training"
) -> TrainingInstances:
    """Instances of a job, as far as the price list has them. Cores that it lacks are those of the name.

    Args:
        aws: clients to call.
        instance_type: such as ``ml.g5.xlarge``.
        count: of the instances.
        price_per_hour: of one, USD, instead of that of the list; 0: that of the list.
        used_for: component of SageMaker in the price list.
    """
    cores, memory, price = 0.0, 0.0, None
    try:
        products = _products(aws, instance_type, used_for)
        prices = [price for product in products for price in _on_demand(product)]
        attributes = [product.get("product", {}).get("attributes", {}) for product in products]
        price = min((price for price in prices if price > 0), default=None)
        cores = max((_number(found.get("vCpu")) for found in attributes), default=0.0)
        memory = max((_number(found.get("memory")) for found in attributes), default=0.0)
    except (InputError, RemoteError, ValueError, LookupError, TypeError, AttributeError) as error:
        logging.getLogger(__name__).info("the cost is not estimated, as AWS's price list cannot be read: %s", error)
    machine = Machine(instance_type, cores or cores_by_name(instance_type), memory * _GIB)
    return TrainingInstances(instance_type, count, machine, price_per_hour or price)


def _products(aws: Aws, instance_type: str, used_for: str) -> list[dict[str, Any]]:
    wanted = {
        "productFamily": "ML Instance",
        "regionCode": aws.region,
        "instanceName": instance_type,
        "platoinstancetype": used_for,
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    answer = aws.call(
        "pricing",
        "get_products",
        patience=_PATIENCE_SECONDS,
        ServiceCode="AmazonSageMaker",
        Filters=filters,
        MaxResults=10,
    )
    return [json.loads(product) for product in answer["PriceList"]]


def _on_demand(product: dict[str, Any]) -> list[float]:
    terms = product["terms"].get("OnDemand", {}).values()
    return [float(price["pricePerUnit"]["USD"]) for term in terms for price in term["priceDimensions"].values()]


def _number(text: Any) -> float:
    """The number that an attribute begins with, such as 16 of ``16 GiB``; 0 for ``N/A``."""
    found = re.match(r"\d+(\.\d+)?", str(text).replace(",", ""))
    return float(found[0]) if found else 0.0
