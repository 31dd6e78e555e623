"""``ncf doctor``: whether what the stages need of AWS and KFP is there, told before a run finds out."""

from __future__ import annotations

import re

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from ncf.errors import RemoteError
from ncf.sagemaker.settings import AwsSettings, EndpointSettings, JobSettings
from ncf.stage.declaration import Stage
from ncf.storage import S3_SCHEME


class Doctor(Stage):
    """Check that AWS and KFP are set up for a run, and say what to do where they are not.

    Looked at are credentials, role, bucket, images, quotas, pipeline root and KFP. Nothing is created or changed.
    """

    calls = ("ncf.aws.session", "ncf.operators.checks")

    role: str = Field(description="ARN of the IAM role that SageMaker works as")
    region: str = Field("", description="AWS region, such as eu-west-1; '': the environment's")
    assume_role: str = Field("", description="ARN of an IAM role to call AWS as (not S3); '': your own")
    bucket: str = Field("", description="S3 bucket or s3:// URI of the pipeline root; '': not checked")
    train_image: str = Field("", description="Image of the training job, in ECR; '': not checked")
    deploy_image: str = Field("", description="Image that serves the model, in ECR; '': not checked")
    instance_type: str = Field(
        JobSettings.model_fields["instance_type"].default,
        description="Type of the training instances; '': their quota is not checked",
    )
    instance_count: int = Field(
        JobSettings.model_fields["instance_count"].default,
        ge=0,
        description="Number of training instances; 0: their quota is not checked",
    )
    spot_instance: bool = Field(
        JobSettings.model_fields["spot_instance"].default, description="Whether to train on spot instances"
    )
    endpoint_instance_type: str = Field(
        EndpointSettings.model_fields["endpoint_instance_type"].default,
        description="Type of the hosting instances; '': their quota is not checked",
    )
    initial_instance_count: int = Field(
        EndpointSettings.model_fields["initial_instance_count"].default,
        ge=0,
        description="Number of hosting instances; 0: their quota is not checked",
    )
    namespace: str = Field("", description="Namespace of the pods, whose default pipeline root to look at; '': none")
    pipeline_root: str = Field("", description="s3:// URI of the pipeline root of runs; '': the namespace's default")
    kfp_host: str = Field("", description="URL of the KFP API, such as http://localhost:8888; '': not checked")
    kfp_token: str = Field("", description="File with a bearer token for the KFP API; '': NCF_KFP_TOKEN, or none")
    kfp_cookie: str = Field("", description="File with cookies for the KFP API; '': NCF_KFP_COOKIE, or none")

    @field_validator("role", "assume_role")
    @classmethod
    def _is_role(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "assume_role":
            return value
        try:
            return AwsSettings.model_validate({"role": value}).role
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    @field_validator("bucket")
    @classmethod
    def _is_bucket(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9][\w.-]+", bucket_name(value)):
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
            raise ValueError("expected an s3:// URI, as SageMaker reads nothing else")
        return value

    @field_validator("kfp_host")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]\S*", value):
            raise ValueError("expected a URL, such as http://localhost:8888")
        return value.rstrip("/")

    def run(self) -> None:
        from ncf.operators.checks import Examination

        examination = Examination(self)
        names: dict[str, list[str]] = {"ok": [], "FAILED": [], "skipped": []}
        for check in examination.checks():
            verdict, finding = examination.verdict(check)
            names[verdict].append(check.name)
            print(f"{verdict:<8}{check.name:<14}{' '.join(finding.split())}", flush=True)
        if failed := names["FAILED"]:
            count = sum(map(len, names.values()))
            raise RemoteError(f"{len(failed)} of {count} checks failed: {', '.join(failed)}")
        skipped = names["skipped"]
        print(f"all is well, but nothing is known of: {', '.join(skipped)}" if skipped else "all is well")


def bucket_name(place: str) -> str:
    """The bucket of a name or URI."""
    return place.removeprefix(S3_SCHEME).partition("/")[0]
