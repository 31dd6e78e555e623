"""Tuning jobs really run their trials, and refuse what AWS refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from foreign_account import BUCKET, IMAGE, ROLE, foreign_account
from local_jobs import assert_shape, client, wait

from components.local.aws import LocalAws
from components.local.aws.tuning_rules import candidates


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with foreign_account(tmp_path_factory.mktemp("tuning")) as local:
        yield local


@pytest.fixture
def sagemaker(aws: LocalAws) -> Any:
    return client(aws, "sagemaker")


def request(name: str, ranges: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    channels = [
        {
            "ChannelName": channel,
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{channel}/"}},
        }
        for channel in ("train", "validation")
    ]
    rate = {"Name": "rate", "MinValue": "0.01", "MaxValue": "0.5"}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": ranges or {"ContinuousParameterRanges": [rate]},
            **config,
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "validation_loss=([0-9.]+);"}],
            },
            "RoleArn": ROLE,
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuned"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "StaticHyperParameters": {"epochs": "2"},
        },
        "Tags": [{"Key": "k", "Value": "v"}],
    }


def finish(sagemaker: Any, name: str) -> dict[str, Any]:
    answer = wait(
        lambda: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        "HyperParameterTuningJobStatus",
        ("InProgress", "Stopping"),
        seconds=30,
    )
    shape = sagemaker.meta.service_model.operation_model("DescribeHyperParameterTuningJob").output_shape
    assert_shape(answer, shape)
    return answer


def trials(sagemaker: Any, name: str, **more: Any) -> list[dict[str, Any]]:
    operation = "ListTrainingJobsForHyperParameterTuningJob"
    answer = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **more)
    assert_shape(answer, sagemaker.meta.service_model.operation_model(operation).output_shape)
    found: list[dict[str, Any]] = answer["TrainingJobSummaries"]
    return found


def objective(trial: dict[str, Any]) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def test_trials_are_training_jobs_and_the_best_is_named(sagemaker: Any) -> None:
    sagemaker.create_hyper_parameter_tuning_job(**request("whole"))
    answer = finish(sagemaker, "whole")
    assert answer["TrainingJobStatusCounters"]["Completed"] == answer["ObjectiveStatusCounters"]["Succeeded"] == 3
    found = trials(sagemaker, "whole", SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    assert answer["BestTrainingJob"]["TrainingJobName"] == found[0]["TrainingJobName"]
    assert [objective(trial) for trial in found] == sorted(objective(trial) for trial in found)
    assert len({trial["TunedHyperParameters"]["rate"] for trial in found}) == 3
    trained = sagemaker.describe_training_job(TrainingJobName=found[0]["TrainingJobName"])
    assert trained["TuningJobArn"] == answer["HyperParameterTuningJobArn"]
    assert trained["HyperParameters"]["epochs"] == "2"
    assert trained["FinalMetricDataList"][0]["Value"] == pytest.approx(objective(found[0]))
    assert sagemaker.list_tags(ResourceArn=trained["TrainingJobArn"])["Tags"] == [{"Key": "k", "Value": "v"}]
    assert len(trials(sagemaker, "whole", MaxResults=2)) == 2
    assert trials(sagemaker, "whole", StatusEquals="Failed") == []


def test_stopping_stops_the_trials(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("hold", "stopped-001", state="Starting", seconds=60)
    sagemaker.create_hyper_parameter_tuning_job(**request("stopped"))
    wait(lambda: {"n": len(trials(sagemaker, "stopped"))}, "n", (0,))
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    answer = finish(sagemaker, "stopped")
    assert answer["HyperParameterTuningJobStatus"] == "Stopped"
    assert answer["TrainingJobStatusCounters"]["InProgress"] == 0
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")


def test_a_fault_of_the_job_itself(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("fail", "broken", state="InProgress", reason="InternalServerError: x")
    sagemaker.create_hyper_parameter_tuning_job(**request("broken"))
    assert finish(sagemaker, "broken")["FailureReason"] == "InternalServerError: x"


def integers(low: str, high: str, scale: str = "Auto") -> dict[str, Any]:
    return {"IntegerParameterRanges": [{"Name": "rate", "MinValue": low, "MaxValue": high, "ScalingType": scale}]}


def reals(low: str, high: str, scale: str = "Auto") -> dict[str, Any]:
    return {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": low, "MaxValue": high, "ScalingType": scale}]}


@pytest.mark.parametrize(
    ("ranges", "config", "said"),
    [
        (integers("1.5", "2"), {}, "must be int"),
        (reals("0.5", "0.1"), {}, "must not exceed MaxValue"),
        (reals("0", "1", "Logarithmic"), {}, "accepts values above 0"),
        (reals("0", "1", "ReverseLogarithmic"), {}, "accepts reals from 0 to 1"),
        (integers("0", "1", "ReverseLogarithmic"), {}, "accepts reals"),
        (reals("0", "1"), {"Strategy": "Grid"}, "Grid accepts CategoricalParameterRanges only"),
        (
            {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["1", "2"]}]},
            {"Strategy": "Grid"},
            "MaxNumberOfTrainingJobs must be 2",
        ),
        (None, {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}, "must be Off"),
        (None, {"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}}, "must not exceed"),
        (None, {"ResourceLimits": {"MaxParallelTrainingJobs": 2}}, "MaxNumberOfTrainingJobs must be given"),
        (None, {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "x"}}, "'x' is not one of"),
        ({"CategoricalParameterRanges": [{"Name": "epochs", "Values": ["1"]}]}, {}, "either static or tuned"),
    ],
)
def test_requests_that_are_refused(sagemaker: Any, ranges: Any, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        sagemaker.create_hyper_parameter_tuning_job(**request("refused", ranges, **config))


def test_names_have_32_characters_and_are_unique(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="at most 32 characters"):
        sagemaker.create_hyper_parameter_tuning_job(**request("x" * 33))
    finish_first = request("whole-2")
    sagemaker.create_hyper_parameter_tuning_job(**finish_first)
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_hyper_parameter_tuning_job(**finish_first)


def config_of(ranges: dict[str, Any], **more: Any) -> dict[str, Any]:
    return copy.deepcopy(request("x", ranges, **more)["HyperParameterTuningJobConfig"])


@pytest.mark.parametrize("scale", ["Linear", "Logarithmic", "ReverseLogarithmic"])
def test_draws_lie_in_their_range_and_are_the_same_for_the_same_seed(scale: str) -> None:
    limits = {"MaxNumberOfTrainingJobs": 200, "MaxParallelTrainingJobs": 1}
    config = config_of(reals("0.001", "0.9", scale), ResourceLimits=limits)
    drawn = [float(values["rate"]) for values in candidates(config, "a")]
    assert drawn == [float(values["rate"]) for values in candidates(config, "a")]
    assert drawn != [float(values["rate"]) for values in candidates(config, "b")]
    assert all(0.001 <= value <= 0.9 for value in drawn)
    below = sum(value < 0.1 for value in drawn) / len(drawn)
    expected = {"Linear": 0.11, "Logarithmic": 0.68, "ReverseLogarithmic": 0.05}[scale]
    assert below == pytest.approx(expected, abs=0.1)


def test_integers_are_whole() -> None:
    limits = {"MaxNumberOfTrainingJobs": 100, "MaxParallelTrainingJobs": 1}
    config = config_of(integers("2", "5"), ResourceLimits=limits)
    assert {values["rate"] for values in candidates(config, "a")} == {"2", "3", "4", "5"}
