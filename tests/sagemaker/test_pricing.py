"""Price, cores and memory of training instances, by AWS's price list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws.session import Aws
from ncf.sagemaker.jobs.pricing import training_instances


def product(usd: str, **attributes: str) -> str:
    price = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": price}}}}
    return json.dumps({"product": {"attributes": attributes}, "terms": terms})


def test_the_price_list_gives_price_cores_and_memory(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.prices = [product("0.23", vCpu="4", memory="16 GiB"), product("0", vCpu="N/A", memory="N/A")]
    found = training_instances(aws, "ml.m5.xlarge", 2)
    assert (found.usd_per_hour, found.machine.cores, found.machine.memory_bytes) == (0.23, 4, 16 * 2**30)
    assert found.usd(1800) == pytest.approx(0.23)
    assert (found.name, found.has_gpu) == ("2 x ml.m5.xlarge", False)


def test_large_memory_has_a_comma(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.prices = [product("5", vCpu="96", memory="1,152 GiB")]
    assert training_instances(aws, "ml.p4d.24xlarge", 1).machine.memory_bytes == 1152 * 2**30


def test_a_given_price_replaces_that_of_the_list(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.prices = [product("0.23", vCpu="4", memory="16 GiB")]
    found = training_instances(aws, "ml.m5.xlarge", 1, price_per_hour=0.1)
    assert (found.usd_per_hour, found.machine.cores) == (0.1, 4)


@pytest.mark.parametrize("prices", [[], ["{}"], ["no json"], ['{"product": 3, "terms": {}}'], None])
def test_without_a_list_the_cores_are_those_of_the_name(
    aws: Aws, sagemaker: FakeSageMaker, prices: list[str] | None
) -> None:
    if prices is None:
        sagemaker.refusals["GetProducts"] = RefusalError("AccessDeniedException", "no")
    sagemaker.prices = prices or []
    found = training_instances(aws, "ml.g5.2xlarge", 1)
    assert (found.usd_per_hour, found.machine.cores, found.machine.memory_bytes) == (None, 8, 0)
    assert found.has_gpu
    assert found.usd(60) is None


@pytest.mark.parametrize(
    ("instance_type", "cores", "has_gpu"),
    [("ml.m5.large", 2, False), ("ml.m5.xlarge", 4, False), ("ml.c5.9xlarge", 36, False), ("ml.p3.2xlarge", 8, True),
     ("ml.g4dn.xlarge", 4, True), ("ml.m6g.metal", 0, False), ("ml.t3.medium", 2, False)],
)  # fmt: skip
def test_names_say_how_many_cores(
    aws: Aws, sagemaker: FakeSageMaker, instance_type: str, cores: int, has_gpu: bool
) -> None:
    found: Any = training_instances(aws, instance_type, 1)
    assert (found.machine.cores, found.has_gpu) == (cores, has_gpu)
