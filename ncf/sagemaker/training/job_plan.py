"""Name and request of the training job of this project's own image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ncf.artifacts.provenance import IMAGE_VARIABLE, LOCATIONS, RUN_VARIABLE
from ncf.sagemaker.jobs import plan as jobs
from ncf.sagemaker.training.plan import PARAMETERS, TrainingPlan
from ncf.sagemaker.training.settings import JobSettings
from ncf.training.log_lines import metric_definitions

STAGE = "train"
_MAX_ENVIRONMENT = 512
"""Characters of a value in ``Environment`` of CreateTrainingJob."""


@dataclass(frozen=True)
class JobPlan(TrainingPlan):
    """A training job of this project's image.

    Attributes:
        origins: URI or path of each input's artifact, of which a channel may be a copy.
        image: ``train_image`` by its digest, which the manifest of the model names; '': as it is given.
    """

    parameters = {
        **PARAMETERS,
        "Environment.NCF_IMAGE": "train_image",
        "Environment.NCF_RUN_ID": "run_id",
        "HyperParameters": "train_overrides",
        "InputDataConfig": "s3_prefix",
    }

    settings: JobSettings
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return STAGE

    @property
    def image_parameter(self) -> tuple[str, str]:
        return "train_image", self.settings.train_image

    def definition(self) -> dict[str, Any]:
        definition = super().definition()
        definition["AlgorithmSpecification"] |= {
            "TrainingImage": self._image,
            "MetricDefinitions": metric_definitions(),
        }
        return definition

    def variables(self) -> dict[str, str]:
        return {RUN_VARIABLE: self.run, IMAGE_VARIABLE: self._image, **self._locations()}

    @property
    def _image(self) -> str:
        return self.image or self.settings.train_image

    def _locations(self) -> dict[str, str]:
        """Environment variables that say where the inputs lie. One that is too long for SageMaker is left out."""
        return {LOCATIONS[name]: uri for name, uri in self.origins.items() if uri and len(uri) <= _MAX_ENVIRONMENT}


def job_name(
    settings: JobSettings, run: str, hyperparameters: Mapping[str, str], fingerprints: Mapping[str, str]
) -> str:
    """Name of a run's first job. A retry of the run has the same name, although KFP changes its output URIs.

    Args:
        settings: as of :func:`ncf.sagemaker.jobs.plan.job_name`.
        run: ID of the run.
        hyperparameters: as strings.
        fingerprints: of the inputs' contents.
    """
    content = {"hyperparameters": dict(hyperparameters), "inputs": dict(fingerprints)}
    return jobs.job_name(settings, STAGE, run, content)
