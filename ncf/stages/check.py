"""The check stage: the first stage of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, model_validator

from ncf.aws.settings import Region
from ncf.data.comparison_settings import ComparisonSettings
from ncf.data.event_settings import EventSettings
from ncf.experiments.settings import ExperimentSettings
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.sagemaker.registry.settings import NONE, RegistrySettings
from ncf.sagemaker.runs.settings import check_notify
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage.declaration import LAUNCHER, Output, Stage
from ncf.stage.overrides import with_overrides
from ncf.stage.pod import Pod
from ncf.training.hyperparameters import CHAMPION, Hyperparameters, WarmStart

_DATA_NAMES = {
    kind: {name: f"data_{name}" for name in kind.model_fields} for kind in (EventSettings, ComparisonSettings)
}
_TRAINING_NAMES = {
    "role": "train_role",
    "train_image": "train_image",
    "model": "train_model",
    "epochs": "train_epochs",
    "instance_type": "train_instance_type",
    "instance_count": "train_instance_count",
    "max_run_time": "train_max_run_time",
}
_HOSTING_NAMES = {
    "role": "deploy_role",
    "deploy_image": "deploy_image",
    "endpoint_name": "deploy_endpoint_name",
    "endpoint_instance_type": "deploy_instance_type",
}
_ANY_URI = "s3://bucket"
"""In place of a pipeline root in S3."""


def _as_in(settings: type[BaseModel], name: str) -> Any:
    """A field with the default and description of another model's field. That model also checks its bounds."""
    field = settings.model_fields[name]
    return Field(default=field.default, description=field.description)


class Check(Stage, Region, ExperimentSettings):
    """Check parameters, images, credentials and storage before any work is done.

    Checked are the weights of event types, the time window, the parameters of training, its job, the registration and
    the endpoint, with their overrides, the image of the endpoint, and access of SageMaker to the artifacts of the run.
    KFP's UI accepts any value. Without this stage, an invalid parameter of deploy would fail the run only after
    training has been paid for.
    """

    image = LAUNCHER
    pod = Pod(retries=0)  # a retry would fail for the same reason
    calls = (
        "ncf.storage",
        "ncf.aws.ecr",
        "ncf.aws.logs",
        "ncf.aws.session",
        "ncf.sagemaker.training.kind",
        "ncf.sagemaker.training.plan",
    )
    default_images = {"train_image": "train", "deploy_image": "deploy"}

    data_forgotten_uri: str = Field("", description="Parameter 'forgotten_uri' of the preprocess stage")
    data_event_column: str = _as_in(EventSettings, "event_column")
    data_event_weights: dict[str, float] = _as_in(EventSettings, "event_weights")
    data_since: str = _as_in(EventSettings, "since")
    data_days: int = _as_in(EventSettings, "days")
    data_last_good: str = _as_in(ComparisonSettings, "last_good")
    data_limits: dict[str, float] = _as_in(ComparisonSettings, "limits")
    train_role: str = _as_in(JobSettings, "role")
    train_image: str = _as_in(JobSettings, "train_image")
    train_model: str = _as_in(Hyperparameters, "model")
    train_epochs: int = _as_in(Hyperparameters, "epochs")
    train_instance_type: str = _as_in(JobSettings, "instance_type")
    train_instance_count: int = _as_in(JobSettings, "instance_count")
    train_max_run_time: int = _as_in(JobSettings, "max_run_time")
    train_overrides: dict[str, Any] = Field({}, description="Parameter 'train_overrides' of the train stage")
    registry_group: str = _as_in(RegistrySettings, "registry_group")
    models: str = _as_in(RegistrySettings, "models")
    release: str = _as_in(RegistrySettings, "release")
    deploy_role: str = _as_in(EndpointSettings, "role")
    deploy_image: str = _as_in(EndpointSettings, "deploy_image")
    deploy_endpoint_name: str = _as_in(EndpointSettings, "endpoint_name")
    deploy_instance_type: str = _as_in(EndpointSettings, "endpoint_instance_type")
    deploy_overrides: dict[str, Any] = Field({}, description="Parameter 'deploy_overrides' of the deploy stage")
    s3_prefix: str = _as_in(JobSettings, "s3_prefix")
    notify: str = Field("", description="Parameter 'notify' of the finish stage")

    summary: Path = Output("Markdown", "The checked settings, and the identity of the AWS calls")

    @model_validator(mode="after")
    def _fits(self) -> Check:
        for stage, make in (
            ("preprocess", self.of_data),
            ("train", self.of_training),
            ("register", self.of_registry),
            ("deploy", self.of_hosting),
        ):
            try:
                make()
            except ValueError as error:
                raise ValueError(f"the stage {stage} would refuse this: {error}") from None
        if self.data_forgotten_uri and self._training()[0].warm_start == CHAMPION:
            raise ValueError(
                f"parameter 'warm_start' is '{CHAMPION}', and 'data_forgotten_uri' is set: the live model may know "
                "the users that are left out; leave 'warm_start' out, or give the folder of a model without them"
            )
        check_notify(self.notify)
        return self

    def of_data(self) -> list[BaseModel]:
        """Event types and time window of the interactions, and their comparison with the last good ones.

        Raises:
            ValueError: as :meth:`of_training`.
        """
        return [
            with_overrides({field: getattr(self, name) for field, name in names.items()}, names, "", {}, kind)[0]
            for kind, names in _DATA_NAMES.items()
        ]

    def of_training(self) -> JobSettings:
        """Settings of the training job.

        Raises:
            ValueError: if a parameter or override is invalid. The message names it and the accepted values.
        """
        return self._training()[1]

    def _training(self) -> tuple[WarmStart, JobSettings]:
        made = self._with_overrides("train_overrides", _TRAINING_NAMES, Hyperparameters, WarmStart, JobSettings)
        chosen, start, settings = cast("tuple[Hyperparameters, WarmStart, JobSettings]", made)
        start.check_start(chosen.pretrain)
        return start, settings

    def of_registry(self) -> RegistrySettings:
        """Settings of the registration.

        Raises:
            ValueError: as :meth:`of_training`.
        """
        names = {name: name for name in RegistrySettings.model_fields}
        values = {name: getattr(self, name) for name in names}
        settings = cast("RegistrySettings", with_overrides(values, names, "", {}, RegistrySettings)[0])
        if settings.models != NONE and "deploy_image" in self.deploy_overrides:
            raise ValueError(
                "parameter 'deploy_overrides' has 'deploy_image', but a package names the image of its endpoint; "
                "give the parameter 'deploy_image' instead"
            )
        return settings

    def of_hosting(self) -> EndpointSettings:
        """Settings of the endpoint.

        Raises:
            ValueError: as :meth:`of_training`.
        """
        return cast("EndpointSettings", self._with_overrides("deploy_overrides", _HOSTING_NAMES, EndpointSettings)[0])

    def _with_overrides(
        self, parameter: str, names: Mapping[str, str], *kinds: type[BaseModel]
    ) -> tuple[BaseModel, ...]:
        names = {**names, "region": "region", "s3_prefix": "s3_prefix"}
        values = {field: getattr(self, name) for field, name in names.items()}
        return with_overrides(values, names, parameter, getattr(self, parameter), *kinds)

    def s3_region(self) -> str:
        return self.of_training().region

    def _check_requests(self, training: JobSettings, hosting: EndpointSettings) -> None:
        """Check the bounds that AWS's service model sets to the parameters of the job and of the endpoint."""
        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
        from ncf.sagemaker.hosting.plan_check import check_plan
        from ncf.sagemaker.training.job_plan import JobPlan, job_name

        name, uri = job_name(training, "", {}, {}), f"{training.s3_prefix or _ANY_URI}/x"
        JobPlan(name, "", training, {}, {"dataset": uri}, uri).check(Aws(training), _TRAINING_NAMES)
        check_plan(Aws(hosting), EndpointPlan(hosting, "", *names(hosting, "", ""), uri), _HOSTING_NAMES)

    def run(self) -> None:
        from ncf.aws.ecr import pinned
        from ncf.aws.session import Aws
        from ncf.experiments.tracking import check_client
        from ncf.sagemaker.staging import check_staging

        training, hosting = self.of_training(), self.of_hosting()
        self._check_requests(training, hosting)
        check_client(self)
        for parameter, settings in (("train_image", training), ("deploy_image", hosting)):
            Aws(settings).check_image(parameter, getattr(settings, parameter))
            check_staging(self.uri_of("summary"), settings.s3_prefix)
        registry = self.of_registry()
        if registry.models != NONE:
            pinned(Aws(hosting), "deploy_image", hosting.deploy_image)
        callers = [Aws(settings).call("sts", "get_caller_identity")["Arn"] for settings in (training, hosting)]
        self.summary.write_text(
            "# All checks passed\n\n"
            f"- train: {training.instance_count} x {training.instance_type}, `{training.train_image}`\n"
            f"- register: {registry.models}, in {registry.registry_group}; release: {registry.release}\n"
            f"- deploy: {hosting.endpoint_instance_type}, `{hosting.deploy_image}`\n"
            f"- AWS is called by {' and '.join(dict.fromkeys(callers))}\n"
        )
