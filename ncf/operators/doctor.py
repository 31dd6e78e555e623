"""``ncf doctor``: whether AWS and Kubeflow Pipelines (KFP) are ready for a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, ValidationError, field_validator, model_validator

from ncf.artifacts.model_folder import ModelName
from ncf.aws.settings import AwsAccess
from ncf.console_text import visible
from ncf.data.event_settings import EventSettings
from ncf.data.reading_settings import ReadingSettings
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.sagemaker.settings import AwsSettings
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage.declaration import Stage
from ncf.stage.overrides import with_overrides
from ncf.storage import S3_SCHEME
from ncf.training.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from ncf.forecast.size import DataSize
    from ncf.operators.checks.account import Account
    from ncf.operators.checks.check import Check
    from ncf.operators.checks.data import DataCheck

DATA = "data"
"""Name of the check of the interactions."""


class Doctor(Stage, ReadingSettings, EventSettings):
    """Check that AWS and KFP are set up for a run, say how to fix what is missing, and forecast what the run will take.

    The checks cover credentials, roles, bucket, images, quotas, pipeline root, the KFP API, and the interactions, which
    are read as preprocess reads them. By their size, minutes and memory of each stage and the price of training are
    forecast. Nothing is created or changed.
    """

    calls = (
        "ncf.aws.ecr",
        "ncf.aws.session",
        "ncf.operators.checks.account",
        "ncf.operators.checks.bucket",
        "ncf.operators.checks.image",
        "ncf.operators.checks.quota",
        "ncf.operators.checks.role",
        "ncf.sagemaker.jobs.pricing",
        "ncf.storage",
    )

    read_too = ("data",)

    train_role: str = Field("", description="ARN of the IAM role of the training job; '': only 'data' is examined")
    data: str = Field(
        "",
        description="Path or S3 URI of interactions, a file or a folder, for the forecast of a run; '': no forecast",
    )
    train_model: ModelName = Field(
        Hyperparameters.model_fields["model"].default, description="Parameter 'model' of training, for the forecast"
    )
    train_epochs: int = Field(
        Hyperparameters.model_fields["epochs"].default,
        description="Parameter 'epochs' of training, for the forecast",
    )
    train_overrides: dict[str, Any] = Field({}, description="Other hyperparameters as {name: value}, for the forecast")
    train_max_run_time: int = Field(
        JobSettings.model_fields["max_run_time"].default,
        ge=60,
        description="Seconds after which SageMaker stops the training job, for the forecast",
    )
    deploy_role: str = Field("", description="ARN of the IAM role of the endpoint; '': not checked")
    region: str = Field("", description="AWS region, such as eu-west-1; '': the environment's")
    assume_role: str = Field("", description="ARN of an IAM role to call AWS as (not S3); '': your own")
    bucket: str = Field("", description="S3 bucket or s3:// URI of the pipeline root; '': not checked")
    train_image: str = Field("", description="Image of the training job, in ECR; '': not checked")
    deploy_image: str = Field("", description="Image of the endpoint, in ECR; '': not checked")
    train_instance_type: str = Field(
        JobSettings.model_fields["instance_type"].default,
        description="Type of the training instances; '': their quota is not checked",
    )
    train_instance_count: int = Field(
        JobSettings.model_fields["instance_count"].default,
        ge=0,
        description="Number of training instances; 0: their quota is not checked",
    )
    train_spot_instance: bool = Field(
        JobSettings.model_fields["spot_instance"].default, description="Whether to train on spot instances"
    )
    deploy_instance_type: str = Field(
        EndpointSettings.model_fields["endpoint_instance_type"].default,
        description="Type of the endpoint's instances; '': their quota is not checked",
    )
    deploy_instance_count: int = Field(
        EndpointSettings.model_fields["initial_instance_count"].default,
        ge=0,
        description="Number of the endpoint's instances; 0: their quota is not checked",
    )
    namespace: str = Field("", description="Namespace of the pods, to check its default pipeline root; '': none")
    pipeline_root: str = Field("", description="s3:// URI of the pipeline root of runs; '': the namespace's default")
    kfp_host: str = Field("", description="URL of the KFP API, such as http://localhost:8888; '': not checked")
    kfp_token: str = Field("", description="File with a bearer token for the KFP API; '': NCF_KFP_TOKEN, or none")
    kfp_cookie: str = Field("", description="File with cookies for the KFP API; '': NCF_KFP_COOKIE, or none")

    @field_validator("train_role", "deploy_role", "assume_role")
    @classmethod
    def _is_role(cls, value: str) -> str:
        if not value:
            return value
        try:
            return AwsSettings.model_validate({"role": value}).role
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    @field_validator("bucket")
    @classmethod
    def _is_bucket(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9][\w.-]+", _bucket_name(value)):
            raise ValueError("expected the name of an S3 bucket, or s3://BUCKET/PREFIX")
        return value

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, value: str) -> str:
        if value and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
            raise ValueError("expected the name of a Kubernetes namespace")
        return value

    @field_validator("pipeline_root")
    @classmethod
    def _is_s3_uri(cls, value: str) -> str:
        if value and not re.fullmatch(r"s3://[A-Za-z0-9][\w.-]+(/\S*)?", value):
            raise ValueError("expected an s3:// URI, as SageMaker reads only S3")
        return value

    @field_validator("kfp_host")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]\S*", value):
            raise ValueError("expected a URL, such as http://localhost:8888")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _examines_something(self) -> Doctor:
        if not (self.train_role or self.data):
            raise ValueError(
                "parameter 'train_role' is '': expected the ARN of an IAM role, such as "
                "arn:aws:iam::123456789012:role/NAME, or 'data' for a forecast alone"
            )
        if self.data and not self.train_instance_type:
            raise ValueError("parameter 'train_instance_type' is '': expected the type to make the forecast for")
        self._hyperparameters()
        return self

    def _hyperparameters(self) -> Hyperparameters:
        """Hyperparameters of the forecast.

        Raises:
            ValueError: if a parameter or override is invalid. The message names it and the accepted values.
        """
        names = {"model": "train_model", "epochs": "train_epochs"}
        values = {field: getattr(self, name) for field, name in names.items()}
        made = with_overrides(values, names, "train_overrides", self.train_overrides, Hyperparameters)
        return cast("Hyperparameters", made[0])

    def run(self) -> None:
        from ncf.operators.checks.account import Account
        from ncf.operators.checks.data import DataCheck

        account = Account(AwsAccess.model_validate({"region": self.region, "assume_role": self.assume_role}))
        names: dict[str, list[str]] = {"ok": [], "FAILED": [], "skipped": []}
        data = DataCheck(self.data, self) if self.data else None
        for check in self._checks(account, data):
            verdict, finding = check.result(account.has_credentials)
            names[verdict].append(check.name)
            print(f"{verdict:<8}{check.name:<14}{visible(' '.join(finding.split()))}", flush=True)
        if data and data.size:
            self._print_forecast(account, data.size)
        if failed := names["FAILED"]:
            count = sum(map(len, names.values()))
            kind = InputError if failed == [DATA] else RemoteError
            raise kind(f"{len(failed)} of {count} checks failed: {', '.join(failed)}")
        skipped = names["skipped"]
        print(f"no check failed; skipped: {', '.join(skipped)}" if skipped else "all checks passed")

    def _print_forecast(self, account: Account, size: DataSize) -> None:
        from ncf.operators.run_forecast import run_forecast

        instances = self.train_instance_type, max(self.train_instance_count, 1)
        for line in run_forecast(account.aws, size, self._hyperparameters(), *instances, self.train_max_run_time):
            print(f"forecast: {line}", flush=True)

    def _checks(self, account: Account, data: DataCheck | None) -> Iterator[Check]:
        """The checks that the parameters ask for, in order."""
        from ncf.operators.checks import bucket, image, kfp, quota, role, root

        if data:
            yield data.check(DATA)
        if not self.train_role:
            return
        yield account.check()
        yield role.check("train role", account, self.train_role)
        if self.deploy_role:
            yield role.check("deploy role", account, self.deploy_role)
        if self.bucket:
            partition = self.train_role.split(":")[1]
            yield bucket.check(account, _bucket_name(self.bucket), partition)
        if self.train_image:
            yield image.check("train image", account, self.train_image)
        if self.deploy_image:
            yield image.check("deploy image", account, self.deploy_image)
        quotas = quota.Quotas(account)
        if self.train_instance_type and self.train_instance_count:
            usage = "spot training job" if self.train_spot_instance else "training job"
            yield quotas.check("train quota", self.train_instance_type, usage, self.train_instance_count)
        if self.deploy_instance_type and self.deploy_instance_count:
            both = 2 * self.deploy_instance_count
            need = " by the old and the new instances of an update"
            yield quotas.check("deploy quota", self.deploy_instance_type, "endpoint", both, need)
        if self.namespace or self.pipeline_root:
            yield root.check(self.namespace, self.pipeline_root, _bucket_name(self.bucket))
        if self.kfp_host:
            yield kfp.check(self.kfp_host, self.kfp_token, self.kfp_cookie)


def _bucket_name(bucket: str) -> str:
    """The bucket's name, of a name or a URI."""
    return bucket.removeprefix(S3_SCHEME).partition("/")[0]
