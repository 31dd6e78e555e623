"""``ncf clean``: the AWS resources of a run, listed or deleted."""

from __future__ import annotations

from pydantic import Field, field_validator

from ncf.aws.names import JOB_PREFIX
from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.sagemaker.jobs.settings import checked_job_prefix
from ncf.sagemaker.settings import checked_run_id
from ncf.stage.declaration import Stage


class Clean(Stage, AwsAccess):
    """List the AWS resources of a run, or delete them. The default is to list.

    These are its endpoint, endpoint configs and models, its training job if it is still in progress, and the S3 objects
    that its jobs have written. An endpoint that serves the model of another run is kept, as is a resource with the tag
    of the run whose name is not one of this project's, or whose namespace is another.
    """

    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.operators.cleanup",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.jobs.stopping",
        "ncf.sagemaker.registry.package",
        "ncf.sagemaker.runs.resources",
        "ncf.sagemaker.training.kind",
    )

    run_id: str = Field(alias="run", min_length=1, description="ID of the run, as KFP shows it")
    job_prefix: str = Field(JOB_PREFIX, description="Parameter 'job_prefix' of the train stage")
    namespace: str = Field(
        "", description="Namespace of the run's pods; '': that of this pod; outside a cluster: that of its resources"
    )
    dry_run: bool = Field(True, description="Whether to list only")

    @field_validator("run_id")
    @classmethod
    def _is_run(cls, value: str) -> str:
        return checked_run_id(value)

    @field_validator("job_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return checked_job_prefix(value)

    def run(self) -> None:
        from ncf.aws.namespace import own_namespace
        from ncf.aws.session import Aws
        from ncf.operators import cleanup

        aws = Aws(self)
        namespace = self.namespace or own_namespace()
        found = cleanup.find(aws, self.run_id, self.job_prefix, namespace)
        for resource in found.to_delete:
            say(str(resource))
        for resource in found.kept:
            say(f"{resource}: kept")
        count = len(found.to_delete)
        if self.dry_run:
            hint = ": this was a dry run; '--dry-run false' deletes them" if count else ""
            say(f"{count} to be deleted; nothing was{hint}")
            return
        cleanup.delete(aws, self.run_id, self.job_prefix, namespace, found.to_delete)
        if not count and not found.kept:
            say(f"no resource in {aws.region} has the tag of run {self.run_id}: nothing was deleted")
            return
        rest = f"{len(found.kept)} kept" if found.kept else f"nothing of run {self.run_id} is left"
        say(f"{count} deleted; {rest}")
