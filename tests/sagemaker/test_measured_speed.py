"""The speed of an earlier training job: taken only from the same instances and settings, and never a fault of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import REGISTRY, ROLE, FakeSageMaker, RefusalError

from ncf.artifacts import manifest
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.champion import ChampionModel
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.training import measured_speed as module
from ncf.sagemaker.training.measured_speed import MeasuredSpeed, measured_speed
from ncf.sagemaker.training.settings import JobSettings
from ncf.training.hyperparameters import Hyperparameters

SETTINGS = JobSettings(role=ROLE, train_image=f"{REGISTRY}/ncf-train:1", instance_type="ml.m5.xlarge")
UNKNOWN = MeasuredSpeed()


@pytest.fixture
def earlier(aws: Aws, sagemaker: FakeSageMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a champion whose job ran on the instance of ``SETTINGS``."""
    folder = tmp_path / "model"
    save(folder)
    monkeypatch.setattr(module, "champion_model", lambda *_: ChampionModel(str(folder), "endpoint shop"))
    request = {
        "TrainingJobName": "ncf-earlier",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {},
        "OutputDataConfig": {"S3OutputPath": "s3://b/x"},
    }
    sagemaker.CreateTrainingJob(**request)
    return folder


def save(folder: Path, speed: Any = 5_000.0, job: str = "ncf-earlier", **changed: Any) -> None:
    for path in folder.glob("*"):
        path.unlink()
    folder.mkdir(exist_ok=True)
    settings = Hyperparameters(**changed).model_dump(mode="json")
    content = {"hyperparameters": settings, "samples_per_second": speed}
    (folder / "history.json").write_text(json.dumps(content))
    manifest.write(folder, "model", {}, {}, {"training_job": job})


def speed_of(aws: Aws, settings: JobSettings = SETTINGS, **hyperparameters: Any) -> MeasuredSpeed:
    return measured_speed(aws, ChampionSettings(), settings, Hyperparameters(**hyperparameters))


def test_the_same_instances_and_settings_have_the_same_speed(aws: Aws, earlier: Path) -> None:
    assert speed_of(aws) == MeasuredSpeed(5_000.0, "the model of endpoint shop")
    assert speed_of(aws, epochs=20, learning_rate=0.1).samples_per_second == 5_000.0, "not decisive"


@pytest.mark.parametrize("changed", [{"model": "gmf"}, {"factors": 128}, {"shared_negatives": 9}, {"batch_size": 64}])
def test_other_settings_have_another_speed(aws: Aws, earlier: Path, changed: dict[str, Any]) -> None:
    assert speed_of(aws, **changed) == UNKNOWN


@pytest.mark.parametrize("changed", [{"instance_type": "ml.m5.large"}, {"instance_count": 2}])
def test_other_instances_have_another_speed(aws: Aws, earlier: Path, changed: dict[str, Any]) -> None:
    assert speed_of(aws, SETTINGS.model_copy(update=changed)) == UNKNOWN


@pytest.mark.parametrize("speed", [0, -1, "fast", None, [], 1e999])
def test_a_speed_that_is_none_is_not_taken(aws: Aws, earlier: Path, speed: Any) -> None:
    save(earlier, speed)
    assert speed_of(aws) == UNKNOWN


def test_a_model_without_a_job_or_of_a_job_that_is_gone(aws: Aws, earlier: Path, sagemaker: FakeSageMaker) -> None:
    save(earlier, job="")
    assert speed_of(aws) == UNKNOWN
    save(earlier)
    sagemaker.refusals["DescribeTrainingJob"] = RefusalError("AccessDeniedException", "no")
    assert speed_of(aws) == UNKNOWN


def test_a_folder_that_is_damaged(aws: Aws, earlier: Path) -> None:
    (earlier / "history.json").write_text("{}")
    assert speed_of(aws) == UNKNOWN


def test_no_champion_and_none_that_can_be_asked_for(aws: Aws, earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> ChampionModel:
        raise RemoteError("AWS cannot be reached")

    for found in (lambda *_: ChampionModel(absence="None."), unreachable):
        monkeypatch.setattr(module, "champion_model", found)
        assert speed_of(aws) == UNKNOWN
