"""``ncf stop-jobs``: training jobs above an age, listed or stopped."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pydantic import Field, field_validator

from ncf.aws.settings import AwsAccess
from ncf.stage.declaration import Stage

_AGE = re.compile(r"([1-9]\d*)([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class StopJobs(Stage, AwsAccess):
    """Stop training jobs older than a limit: their launchers have probably ended. The default is to list them.

    Only jobs with the tags of this pipeline are stopped.
    """

    calls = ("ncf.aws.session", "ncf.aws.tags", "ncf.sagemaker.training.jobs", "ncf.sagemaker.training.stopping")

    older_than: str = Field(description="Age of the jobs to stop: minutes, hours or days, such as 90m, 6h or 2d")
    dry_run: bool = Field(True, description="Whether to list only")

    @field_validator("older_than")
    @classmethod
    def _is_age(cls, value: str) -> str:
        if not _AGE.fullmatch(value):
            raise ValueError("expected a whole number followed by m, h or d, such as 90m, 6h or 2d")
        return value

    def age(self) -> timedelta:
        """The parameter ``older_than`` as a duration."""
        return int(self.older_than[:-1]) * _UNITS[self.older_than[-1]]

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.sagemaker.training import jobs
        from ncf.sagemaker.training.stopping import stop

        aws, now = Aws(self), datetime.now(UTC)
        found = stopped = 0
        for job in list(jobs.running(aws, created_before=now - self.age())):
            hours = (now - job.created).total_seconds() / 3600
            print(f"training job {job.name} of run {job.run}: running for {hours:.1f} h")
            found += 1
            stopped += 0 if self.dry_run else stop(aws, job.name)
        if self.dry_run:
            hint = ": this was a dry run; '--dry-run false' stops them" if found else ""
            print(f"{found} jobs of that age; nothing was stopped{hint}")
        else:
            print(f"{stopped} stopped")
