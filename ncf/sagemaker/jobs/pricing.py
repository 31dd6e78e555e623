"""Price of an instance of a job, from AWS's price list.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
import logging
from typing import Any

from ncf.aws.session import Aws
from ncf.errors import RemoteError

_PATIENCE_SECONDS = 5.0

CALLS = ("pricing:GetProducts",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def instance_price(aws: Aws, instance_type: str, used_for: str) -> float | None:
    """On-demand price of an instance in the session's region, USD per hour; None if the list has none.

    Args:
        aws: clients to call.
        instance_type: such as ``ml.g5.xlarge``.
        used_for: component of SageMaker in the price list, such as ``Training``.
    """
    wanted = {
        "productFamily": "ML Instance",
        "regionCode": aws.region,
        "instanceName": instance_type,
        "platoinstancetype": used_for,
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    try:
        answer = aws.call(
            "pricing", "get_products", _PATIENCE_SECONDS, ServiceCode="AmazonSageMaker", Filters=filters, MaxResults=10
        )
        prices = [price for product in answer["PriceList"] for price in _on_demand(json.loads(product))]
    except (RemoteError, ValueError, LookupError, TypeError, AttributeError) as error:
        logging.getLogger(__name__).info("the cost is not estimated, as AWS's price list cannot be read: %s", error)
        return None
    return min((price for price in prices if price > 0), default=None)


def _on_demand(product: dict[str, Any]) -> list[float]:
    terms = product["terms"].get("OnDemand", {}).values()
    return [float(price["pricePerUnit"]["USD"]) for term in terms for price in term["priceDimensions"].values()]
