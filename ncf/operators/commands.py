"""What operators run by hand, or a cluster by the clock: ``ncf rollback``, ``ncf clean``, ``ncf stop-jobs``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from ncf.sagemaker.settings import AwsAccess, checked_run_id
from ncf.stage.declaration import Stage

_AGE = re.compile(r"([1-9]\d*)(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Rollback(Stage, AwsAccess):
    """Have an endpoint serve its previous model again, at once.

    The previous model is the one that was served before the last update; after a rollback, the next older one.
    """

    calls = (
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.operators.rollback",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.hosting.way_back",
    )

    endpoint: CliPositionalArg[str] = Field(min_length=1, description="Name of the endpoint")
    endpoint_wait_time: int = Field(1800, ge=60, le=86_400, description="Seconds to wait for the endpoint")

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.operators.rollback import roll_back

        way = roll_back(Aws(self), self.endpoint, self.endpoint_wait_time)
        print(f"endpoint {self.endpoint} serves {way.now} again, in place of {way.before}")


class Clean(Stage, AwsAccess):
    """List all that a run has left in AWS, and delete it where asked to. By default it is listed only.

    That is its endpoint, endpoint configs and models, its training job if that still runs, and what its jobs have
    written to S3. An endpoint that another run has updated since stays.
    """

    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.operators.cleanup",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.hosting.way_back",
        "ncf.sagemaker.runs.resources",
    )

    run_id: str = Field(alias="run", min_length=1, description="ID of the run, as KFP shows it")
    dry_run: bool = Field(True, description="Whether to list only")

    @field_validator("run_id")
    @classmethod
    def _is_run(cls, value: str) -> str:
        return checked_run_id(value)

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.operators import cleanup

        aws = Aws(self)
        found = cleanup.find(aws, self.run_id)
        for entry in found.leftovers:
            print(entry)
        for entry in found.kept:
            print(f"{entry}: kept")
        if self.dry_run:
            hint = ": this was a dry run; '--dry-run false' deletes them" if found.leftovers else ""
            print(f"{len(found.leftovers)} to be deleted; nothing was{hint}")
            return
        cleanup.delete(aws, self.run_id, found.leftovers)
        if not found.leftovers and not found.kept:
            print(f"nothing in {aws.region} carries the tag of run {self.run_id}: nothing was deleted")
            return
        print(f"{len(found.leftovers)} deleted; nothing of run {self.run_id} is left")


class StopJobs(Stage, AwsAccess):
    """Stop training jobs that have run for too long: those that nobody waits for any more.

    Only jobs that this pipeline has started count: they are known by their tags. By default they are listed only.
    """

    calls = ("ncf.aws.session", "ncf.aws.tags", "ncf.sagemaker.training.jobs")

    older_than: str = Field(description="Age from which on a job is stopped: minutes, hours or days, as 90m, 6h, 2d")
    dry_run: bool = Field(True, description="Whether to list only")

    @field_validator("older_than")
    @classmethod
    def _is_age(cls, value: str) -> str:
        if not _AGE.fullmatch(value):
            raise ValueError("expected a whole number with m, h or d behind it, such as 90m, 6h or 2d")
        return value

    def age(self) -> timedelta:
        """The age as a span of time."""
        number, unit = _AGE.fullmatch(self.older_than).groups()  # type: ignore[union-attr]
        span: dict[str, Any] = {_UNITS[unit]: int(number)}
        return timedelta(**span)

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.sagemaker.training import jobs

        aws, now = Aws(self), datetime.now(UTC)
        found = stopped = 0
        for job in list(jobs.running(aws, created_before=now - self.age())):
            hours = (now - job.created).total_seconds() / 3600
            print(f"training job {job.name} of run {job.run}: running for {hours:.1f} h")
            found += 1
            stopped += 0 if self.dry_run else jobs.stop(aws, job.name)
        if self.dry_run:
            hint = ": this was a dry run; '--dry-run false' stops them" if found else ""
            print(f"{found} jobs are that old; nothing was stopped{hint}")
        else:
            print(f"{stopped} stopped")
