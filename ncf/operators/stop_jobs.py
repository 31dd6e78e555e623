"""``ncf stop-jobs``: jobs without a launcher, listed or stopped."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pydantic import Field, field_validator

from ncf.aws.names import JOB_PREFIX
from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.errors import RemoteError
from ncf.sagemaker.jobs.settings import checked_job_prefix
from ncf.stage.declaration import Stage

_AGE = re.compile(r"([1-9]\d*)([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class StopJobs(Stage, AwsAccess):
    """Stop jobs without a launcher: of training, processing, batch transform and tuning. The default is to list them.

    These are jobs that their launcher has marked as abandoned but could not stop, and jobs that SageMaker has not
    stopped at their own time limit. Jobs of other namespaces and other prefixes are left alone.
    """

    calls = (
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.jobs.stopping",
        "ncf.sagemaker.processing.kind",
        "ncf.sagemaker.training.kind",
        "ncf.sagemaker.transform.kind",
        "ncf.sagemaker.tuning.kind",
    )

    older_than: str = Field(
        description="Time since the mark, or since the start of the training, after which a job is stopped: minutes, "
        "hours or days, such as 90m, 6h or 2d"
    )
    job_prefix: str = Field(JOB_PREFIX, description="Parameter 'job_prefix' of the train stage")
    namespace: str = Field(
        "", description="Namespace whose jobs are stopped; '': that of this pod; outside a cluster: jobs without one"
    )
    dry_run: bool = Field(True, description="Whether to list only")

    @field_validator("older_than")
    @classmethod
    def _is_age(cls, value: str) -> str:
        if not _AGE.fullmatch(value):
            raise ValueError("expected a whole number followed by m, h or d, such as 90m, 6h or 2d")
        return value

    @field_validator("job_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return checked_job_prefix(value)

    def age(self) -> timedelta:
        """The parameter ``older_than`` as a duration."""
        return int(self.older_than[:-1]) * _UNITS[self.older_than[-1]]

    def run(self) -> None:
        from ncf.aws.namespace import own_namespace
        from ncf.aws.session import Aws
        from ncf.sagemaker.jobs import own as jobs
        from ncf.sagemaker.jobs.stopping import stop
        from ncf.sagemaker.processing.kind import PROCESSING
        from ncf.sagemaker.training.kind import TRAINING
        from ncf.sagemaker.transform.kind import TRANSFORM
        from ncf.sagemaker.tuning.kind import TUNING

        aws, now = Aws(self), datetime.now(UTC)
        owner = jobs.Owner(self.job_prefix, self.namespace or own_namespace())
        found = stopped = 0
        refused = []
        kinds = (TRAINING, PROCESSING, TRANSFORM, TUNING)
        for kind, job in [(each, job) for each in kinds for job in jobs.running(aws, each, owner)]:
            description = aws.find("sagemaker", kind.describe, **kind.by_name(job.name))
            reason = jobs.overdue(kind, description, job.abandoned, self.age(), now) if description else ""
            if reason:
                say(f"{kind.words} {job.name} of run {job.run}: {reason}")
                found += 1
                try:
                    stopped += 0 if self.dry_run else stop(aws, kind, job.name)
                except RemoteError as error:  # the others are stopped nevertheless, as they cost money
                    refused.append(f"{job.name} ({' '.join(str(error).split())})")
        if self.dry_run:
            hint = ": this was a dry run; '--dry-run false' stops them" if found else ""
            say(f"{found} jobs without a launcher; nothing was stopped{hint}")
        else:
            say(f"{stopped} stopped")
        if refused:
            raise RemoteError(f"jobs that are not stopped: {', '.join(refused)}")
