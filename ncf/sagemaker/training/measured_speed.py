"""Speed of the steps of an earlier model's training job, where it ran on the same instances with the same settings."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from ncf.artifacts import manifest
from ncf.artifacts.archive import SUFFIXES
from ncf.artifacts.model_folder import HISTORY, KIND
from ncf.artifacts.provenance import Provenance
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.champion import champion_model
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.hosting.deployed_model import local_model
from ncf.sagemaker.training.settings import JobSettings
from ncf.training.hyperparameters import Hyperparameters

CALLS = ("sagemaker:DescribeTrainingJob",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_DECISIVE = (
    "model", "factors", "history", "tower", "negatives", "shared_negatives", "batch_size", "precision", "device",
    "processes_per_host",
)  # fmt: skip
"""Hyperparameters on which the speed depends."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredSpeed:
    """Speed of a training job.

    Attributes:
        samples_per_second: of all fits, over all instances; 0 if it is not known.
        name: of the model that was trained.
    """

    samples_per_second: float = 0.0
    name: str = ""


def measured_speed(
    aws: Aws, earlier: ChampionSettings, settings: JobSettings, hyperparameters: Hyperparameters
) -> MeasuredSpeed:
    """The speed of the champion's training job, if it had the same instances and settings.

    What cannot be read is no reason for a run to fail: the forecast does without. An archive of a model is not read.

    Args:
        aws: clients to call.
        earlier: where the champion is looked for.
        settings: of the job that is to be run.
        hyperparameters: of that job.
    """
    try:
        champion = champion_model(aws, earlier, settings.run_id)
        if not champion.uri or champion.uri.endswith(SUFFIXES):
            return MeasuredSpeed()
        with local_model(champion.uri, manifest.FILE_NAME, HISTORY) as folder:
            content = manifest.read(folder, KIND)
            history = UntrustedFiles.of(folder, content["files"]).json_object(HISTORY)
        before, speed = history["hyperparameters"], float(history["samples_per_second"])
        job, now = Provenance.of(content).training_job, hyperparameters.model_dump(mode="json")
        is_alike = all(before.get(name) == now[name] for name in _DECISIVE)
        if not (job and is_alike and math.isfinite(speed) and speed > 0):
            return MeasuredSpeed()
        found = aws.find("sagemaker", "describe_training_job", TrainingJobName=job) or {}
        resources = found.get("ResourceConfig", {})
    except (InputError, RemoteError, ValueError, LookupError, TypeError, AttributeError) as error:
        _log.info("the speed of an earlier model is not known: %s", error)
        return MeasuredSpeed()
    given = resources.get("InstanceType"), resources.get("InstanceCount")
    wanted = settings.instance_type, settings.instance_count
    return MeasuredSpeed(speed, f"the model of {champion.name}") if given == wanted else MeasuredSpeed()
