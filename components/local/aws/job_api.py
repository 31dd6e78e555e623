"""Operations on processing and tuning jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.local.aws.errors import invalid
from components.local.aws.faults import Faults
from components.local.aws.instances import Instances
from components.local.aws.jobs import Job, Jobs, page
from components.local.aws.processing import ProcessingJob
from components.local.aws.services import Services
from components.local.aws.training import TrainingJob
from components.local.aws.tuning import TuningJob
from components.local.aws.tuning_rules import check_tuning

Request = Mapping[str, Any]
Answer = dict[str, Any]


class JobApi:
    """Processing and tuning jobs, and one method for each operation on them, of the same name.

    Args:
        root: folder for the ``/opt/ml`` trees of processing jobs.
        services: clients of S3 and CloudWatch Logs.
        instances: instances for the programs of images.
        environment: variables that direct the AWS clients of programs to the stand-in.
        grace: seconds between SIGTERM and SIGKILL.
        faults: faults to inject.
        arn: function that returns the ARN of a new resource, given its kind, its name and its request.
        train: function that starts a training job, given its request.
        check_open: function that raises an ApiError while the stand-in is shutting down.
    """

    def __init__(
        self,
        root: Path,
        services: Services,
        instances: Instances,
        environment: Mapping[str, str],
        grace: float,
        faults: Faults,
        arn: Callable[[str, str, Request], str],
        train: Callable[[Request], TrainingJob],
        check_open: Callable[[], None],
    ) -> None:
        self._root, self._services, self._instances = root, services, instances
        self._environment, self._grace, self._faults = environment, grace, faults
        self._arn, self._train, self._check_open = arn, train, check_open
        self._lock = threading.RLock()
        self._processing, self._tuning = Jobs(ProcessingJob), Jobs(TuningJob)

    def __iter__(self) -> Iterator[Job]:
        yield from self._tuning
        yield from self._processing

    def create_processing_job(self, request: Request) -> Answer:
        name = request["ProcessingJobName"]
        self._instances.check_variables(request.get("Environment", {}))

        def make() -> ProcessingJob:
            return ProcessingJob(
                request,
                self._arn("processing-job", name, request),
                self._root / "processing" / name,
                self._services,
                self._instances,
                self._environment,
                self._grace,
                self._faults,
            )

        with self._lock:
            self._check_open()
            job = self._processing.add(name, make)
        job.start()
        return {"ProcessingJobArn": job.arn}

    def describe_processing_job(self, request: Request) -> Answer:
        return self._processing.of(request).describe()

    def stop_processing_job(self, request: Request) -> Answer:
        self._processing.of(request).stop()
        return {}

    def list_processing_jobs(self, request: Request) -> Answer:
        return self._processing.list(request)

    def create_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        name = request["HyperParameterTuningJobName"]
        check_tuning(request)
        self._instances.check_variables(request["TrainingJobDefinition"].get("Environment", {}))
        parents = request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
        for parent in parents:
            if self._tuning.of(parent).status in ("InProgress", "Stopping"):
                raise invalid(f"Parent tuning job {parent['HyperParameterTuningJobName']} has not ended")

        with self._lock:
            self._check_open()
            arn = "hyper-parameter-tuning-job"
            job = self._tuning.add(
                name, lambda: TuningJob(request, self._arn(arn, name, request), self._train, self._faults)
            )
        job.start()
        return {"HyperParameterTuningJobArn": job.arn}

    def describe_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        return self._tuning.of(request).describe()

    def stop_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        self._tuning.of(request).stop()
        return {}

    def list_hyper_parameter_tuning_jobs(self, request: Request) -> Answer:
        return self._tuning.list(request)

    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        return page("TrainingJobSummaries", self._tuning.of(request).trials.list(request), request)
