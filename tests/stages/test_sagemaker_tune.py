"""Tuning jobs of any image, in the stand-in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from foreign_account import PREFIX, foreign_account, names_of, run, train_parameters

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs import job
from ncf.stages.sagemaker_tune import SagemakerTune


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        yield local


@pytest.fixture(autouse=True)
def no_faults(account: Any) -> None:
    account.faults.clear()


def parameters(**more: Any) -> dict[str, Any]:
    usual = {
        "hyperparameters": {"epochs": 2},
        "ranges": {"rate": {"min": 0.001, "max": 0.5, "scale": "logarithmic"}},
        "metric_name": "loss",
        "metric_type": "Minimize",
        "max_num_jobs": 3,
    }
    return train_parameters(**{**usual, **more})


def described(name: str) -> dict[str, Any]:
    client = boto3.client("sagemaker")
    answer: dict[str, Any] = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    return answer


def tuning_jobs() -> list[str]:
    return names_of("hyper_parameter_tuning_jobs")


def test_the_best_trial_its_model_and_all_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = run(SagemakerTune, tmp_path, "best", **parameters())
    name, best = ((outputs / output).read_text() for output in ("job_name", "best_job_name"))
    assert len(name) <= 32
    metrics = json.loads((outputs / "metrics").read_text())
    table = (outputs / "summary").read_text().partition("## Trials")[2]
    objectives = [float(row.split("|")[3]) for row in table.splitlines() if row.startswith(f"| {name}-")]
    assert len(objectives) == metrics["trials"] == metrics["completed"] == 3
    assert objectives == sorted(objectives), "the best comes first"
    assert metrics["loss"] == pytest.approx(objectives[0], rel=1e-4)
    chosen = json.loads((outputs / "best_hyperparameters").read_text())
    assert chosen["epochs"] == "2", "with those that are not tuned"
    assert 0.001 <= float(chosen["rate"]) <= 0.5
    assert (outputs / "model_uri").read_text() == f"{PREFIX}/{name}/best_model/{best}/output/model"
    assert (outputs / "best_model/line.json").is_file()
    assert "<svg" in (outputs / "report").read_text()
    printed = capsys.readouterr().out
    for number in ("001", "002", "003"):
        assert re.findall(rf"^{number} \| (epoch=.) ", printed, re.M) == ["epoch=1", "epoch=2"], "each line once"
        assert len(re.findall(rf"^{name}-{number}-\w+ Completed: objective", printed, re.M)) == 1
    trial = boto3.client("sagemaker").describe_training_job(TrainingJobName=best)
    assert trial["HyperParameters"]["_tuning_objective_metric"] == "loss"


@pytest.mark.slow
def test_each_value_of_a_list_is_a_trial_of_a_grid(tmp_path: Path) -> None:
    grid = {"ranges": {"rate": [0.1, 0.3, 0.2], "epochs": {"values": [1, 2]}}, "hyperparameters": {}}
    outputs = run(SagemakerTune, tmp_path, "grid", **parameters(**grid, strategy="Grid", max_num_jobs=0))
    assert json.loads((outputs / "metrics").read_text())["trials"] == 6
    chosen = json.loads((outputs / "best_hyperparameters").read_text())
    assert chosen["rate"] in ("0.1", "0.3", "0.2")
    assert chosen["epochs"] == "2", "a second epoch is better, whatever the rate"


def test_poor_trials_are_stopped_early(tmp_path: Path) -> None:
    given = {
        "hyperparameters": {"epochs": 8, "pause": "0.15"},
        "ranges": {"rate": {"values": ["0.3", "0.00001"]}},
        "strategy": "Grid",
        "max_num_jobs": 0,
        "max_parallel_jobs": 1,
        "early_stopping_type": "Auto",
    }
    outputs = run(SagemakerTune, tmp_path, "early", **parameters(**given))
    table = (outputs / "summary").read_text().partition("## Trials")[2]
    assert [row.split(" | ")[1] for row in table.splitlines() if "| ncf-train" in row] == ["Completed", "Stopped"]
    assert json.loads((outputs / "metrics").read_text())["completed"] == 1


def test_a_retry_attaches_and_throttling_buys_one_job(account: Any, tmp_path: Path) -> None:
    account.faults.add("refuse", "CreateHyperParameterTuningJob", error="ThrottlingException", times=2)
    before = len(tuning_jobs())
    for attempt in ("first", "second"):
        run(SagemakerTune, tmp_path / attempt, "retried", **parameters(max_num_jobs=2))
    assert len(tuning_jobs()) == before + 1


@pytest.mark.slow
def test_failed_trials_do_not_fail_the_job_but_all_of_them_do(account: Any, tmp_path: Path) -> None:
    account.faults.add("fail", "-001-", state="Starting", reason="AlgorithmError: one")
    metrics = json.loads((run(SagemakerTune, tmp_path, "some", **parameters()) / "metrics").read_text())
    assert (metrics["trials"], metrics["completed"]) == (3, 2)
    with pytest.raises(RemoteError, match="No training job succeeded after 3 attempts") as failed:
        run(SagemakerTune, tmp_path / "none", "none", **parameters(hyperparameters={"epochs": 2, "fail": True}))
    assert "AlgorithmError: the rate is no good" in str(failed.value), "the reason of a trial"


def test_a_metric_that_is_not_in_the_log_is_explained(tmp_path: Path) -> None:
    given = parameters(metric_definitions={"loss": "accuracy=([0-9.]+)"})
    with pytest.raises(RemoteError, match="No objective metrics found after running 3 training jobs"):
        run(SagemakerTune, tmp_path, "no-metric", **given)


def test_sigterm_stops_the_job_with_its_trials_and_a_retry_starts_another(account: Any, tmp_path: Path) -> None:
    account.faults.add("hold", "-001-", state="Starting", seconds=60)
    given = parameters(max_num_jobs=2, max_parallel_jobs=1)
    with patch.object(job._Job, "follow", side_effect=SystemExit(143)), pytest.raises(SystemExit):
        run(SagemakerTune, tmp_path, "stopped", **given)
    stopped = tuning_jobs()[-1]
    assert described(stopped)["HyperParameterTuningJobStatus"] in ("Stopping", "Stopped")
    assert (run(SagemakerTune, tmp_path, "stopped", **given) / "job_name").read_text() == f"{stopped}-2"
    counters = described(stopped)["TrainingJobStatusCounters"]
    assert counters["InProgress"] == counters["Completed"] == 0


@pytest.mark.slow
def test_a_later_job_starts_from_an_earlier_one(tmp_path: Path) -> None:
    earlier = (run(SagemakerTune, tmp_path / "1", "earlier", **parameters(max_num_jobs=2)) / "job_name").read_text()
    warm = {"warm_start_type": "TransferLearning", "parent_hpo_jobs": [earlier], "max_num_jobs": 2}
    later = (run(SagemakerTune, tmp_path / "2", "later", **parameters(**warm)) / "job_name").read_text()
    parents = described(later)["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert parents == [{"HyperParameterTuningJobName": earlier}]
    with pytest.raises(InputError, match="not found"):
        run(SagemakerTune, tmp_path / "3", "later", **parameters(**{**warm, "parent_hpo_jobs": ["nobody"]}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric_name": "accuracy"}, "'metric_name' is 'accuracy'; 'metric_definitions' has loss"),
        ({"ranges": {"rate": [0, 1]}}, r"'rate' is .* of integers or reals: add 'type'"),
        ({"ranges": {"rate": [0.5, 0.1]}}, "'min' may not exceed 'max'"),
        ({"ranges": {"rate": {"min": 0, "max": 0.5, "scale": "logarithmic"}}}, "'logarithmic' is for values above 0"),
        ({"ranges": {"rate": "0.1"}}, r"expected \[min, max\] of two numbers"),
        ({"ranges": {}}, "0 ranges; 1 to 30 are accepted"),
        ({"hyperparameters": {"rate": 1}}, "'rate' is in 'ranges' and in 'hyperparameters'"),
        ({"strategy": "Grid"}, "Grid accepts lists of values only"),
        ({"strategy": "Hyperband", "early_stopping_type": "Auto"}, "leave it Off"),
        ({"max_parallel_jobs": 4}, "'max_parallel_jobs' is 4: there are 3 trials"),
        ({"job_prefix": "a-long-prefix"}, "12 are accepted at most"),
        ({"warm_start_type": "TransferLearning"}, "go together"),
        ({"max_tuning_time": 60}, "parameter 'max_tuning_time' is 60: AWS accepts at least 120"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_any_call(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    before = tuning_jobs()
    with pytest.raises(InputError, match=said):
        run(SagemakerTune, tmp_path, "refused", **parameters(**changes))
    assert tuning_jobs() == before
