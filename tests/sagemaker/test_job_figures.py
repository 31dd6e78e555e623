"""Figures of a training job, and its estimated cost in the report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_sagemaker import REGISTRY, ROLE, FakeSageMaker, RefusalError

from ncf.aws.session import Aws
from ncf.forecast.machines import Machine, TrainingInstances
from ncf.reports.job import markdown
from ncf.sagemaker.jobs.figures import figures
from ncf.sagemaker.training.job_plan import JobPlan
from ncf.sagemaker.training.refit import cost_of_refit
from ncf.sagemaker.training.settings import JobSettings

ENDED = {
    "TrainingJobName": "job",
    "TrainingJobStatus": "Completed",
    "TrainingTimeInSeconds": 1000,
    "BillableTimeInSeconds": 300,
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model"},
    "SecondaryStatusTransitions": [{"Status": "Interrupted"}, {"Status": "Interrupted"}],
}


def settings(**more: Any) -> JobSettings:
    return JobSettings(role=ROLE, train_image=f"{REGISTRY}/ncf-train:1", instance_count=2, **more)


def planned(chosen: JobSettings) -> JobPlan:
    return JobPlan("job", "run", chosen, {}, {}, "s3://b/model")


def product(usd: str) -> str:
    price = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
    return json.dumps({"product": {}, "terms": {"OnDemand": {"a": {"priceDimensions": {"b": price}}}}})


def test_the_price_list_gives_the_estimate(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.prices = [product("0.0000000000"), product("1.2000000000")]
    spot = settings(spot_instance=True, max_wait_time=3600)
    job = figures(aws, planned(spot), ENDED)
    assert job.metrics() == pytest.approx(
        {"training_seconds": 1000, "billable_seconds": 300, "spot_saving": 0.7, "estimated_cost_usd": 0.2}
    )
    (operation, request) = sagemaker.calls[-1]
    assert operation == "GetProducts"
    assert {entry["Field"]: entry["Value"] for entry in request["Filters"]} == {
        "productFamily": "ML Instance",
        "regionCode": "us-east-1",
        "instanceName": "ml.g5.xlarge",
        "platoinstancetype": "Training",
    }
    report = markdown(job, "https://console")
    for words in ("| spot saving | 70% |", "| interruptions | 2 |", "| estimated cost | 0.2000 USD", "(spot)"):
        assert words in report


def test_a_given_price_is_taken(aws: Aws, sagemaker: FakeSageMaker) -> None:
    assert figures(aws, planned(settings(price_per_hour=6.0)), ENDED).cost_usd == pytest.approx(1.0)
    assert sagemaker.calls == []


@pytest.mark.parametrize("prices", [[], ["{}"], ["no json"], None])
def test_without_a_price_the_report_says_how_to_give_one(
    aws: Aws, sagemaker: FakeSageMaker, prices: list[str] | None
) -> None:
    if prices is None:
        sagemaker.refusals["GetProducts"] = RefusalError("AccessDeniedException", "no")
    sagemaker.prices = prices or []
    assert "'price_per_hour'" in markdown(figures(aws, planned(settings()), ENDED), "https://console")


def test_what_the_third_fit_costs_is_said_with_the_price() -> None:
    machine = Machine("ml.g5.xlarge", 4)
    said = cost_of_refit(TrainingInstances("ml.g5.xlarge", 2, machine, 1.41))
    assert "a third of the job's time, at 2.82 USD an hour for 2 x ml.g5.xlarge" in said
    assert 'train_overrides {"refit": false} leaves it out' in said
    assert "USD" not in cost_of_refit(TrainingInstances("ml.g5.xlarge", 2, machine)), "no price is known"
