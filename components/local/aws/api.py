"""SageMaker's API for jobs, models, endpoint configs, endpoints and the Model Registry."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from botocore.model import ServiceModel
from botocore.session import get_session

from components.local.aws import serverless
from components.local.aws.autoscaling import ScalableTargets, check_registration
from components.local.aws.errors import ApiError, invalid
from components.local.aws.event_bus import EventBus
from components.local.aws.faults import Faults
from components.local.aws.fleet import LOG_GROUP, Fleet
from components.local.aws.hosting import Endpoint
from components.local.aws.instances import Instances
from components.local.aws.job_api import JobApi
from components.local.aws.jobs import Job, Jobs, page
from components.local.aws.keys import author
from components.local.aws.multi_model import check_container, is_multi_model
from components.local.aws.records import Records
from components.local.aws.registry import ModelRegistry
from components.local.aws.services import Services
from components.local.aws.tags import Tags
from components.local.aws.training import TrainingJob
from components.local.aws.transform import LOG_GROUP as TRANSFORM_LOG_GROUP
from components.local.aws.transform import TransformJob
from components.local.aws.variants import Variants, check_guardrails, check_variants
from ncf.aws.bounds import violations

ACCOUNT = "123456789012"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_MAX_HYPERPARAMETERS, _MAX_METRICS = 100, 40
_CLOSING_SECONDS = 3.0
Request = Mapping[str, Any]
Answer = dict[str, Any]


class SageMakerApi:
    """The resources, and one method for each operation, of the same name.

    Args:
        root: folder for the ``/opt/ml`` trees of jobs and endpoints.
        region: region of the ARNs.
        services: clients of S3 and CloudWatch.
        instances: instances for the programs of images.
        environment: variables that direct the AWS clients of programs to the stand-in.
        grace: seconds between SIGTERM and SIGKILL of a training job.
        start_seconds: timeout of a serving container's first successful ``/ping``, in seconds.
        faults: faults to inject.
        serving: additional variables for the programs of endpoints.
        bus: receives events.
    """

    def __init__(
        self,
        root: Path,
        region: str,
        services: Services,
        instances: Instances,
        environment: Mapping[str, str],
        grace: float,
        start_seconds: float,
        faults: Faults,
        serving: Mapping[str, str],
        bus: EventBus,
    ) -> None:
        self._faults, self._serving = faults, serving
        self._root, self._region = root, region
        self._services, self._instances, self._environment = services, instances, environment
        self._grace, self._start_seconds = grace, start_seconds
        self._lock = threading.RLock()
        self._jobs, self._transforms = Jobs(TrainingJob), Jobs(TransformJob)
        self.tags = Tags()
        self._work = JobApi(
            root,
            services,
            instances,
            environment,
            grace,
            faults,
            self._tagged_arn,
            self._train,
            self._check_open,
        )
        self._models = Records("Model", "model", self._arn, self.tags)
        self._configs = Records("EndpointConfig", "endpoint-config", self._arn, self.tags)
        self._registry = ModelRegistry(self._arn, self.tags, faults, partial(author, ACCOUNT, region), bus)
        self._endpoints: dict[str, Endpoint] = {}
        self._targets = ScalableTargets(services)
        self._closed = False

    def operation(self, name: str) -> Callable[[Request], Answer] | None:
        """Method of an operation; None for operations of moto."""
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        for owner in (self, self.tags, self._registry, self._work):
            if name in OPERATIONS and (method := getattr(owner, snake, None)):
                return partial(_checked, method, name)
        return None

    def close(self) -> None:
        """End every job and endpoint, and their programs."""
        with self._lock:
            self._closed = True
            resources: list[Job | Endpoint] = [*self._work, *self._jobs, *self._transforms, *self._endpoints.values()]
        for resource in resources:
            resource.close()
        self._instances.close(min(self._grace, _CLOSING_SECONDS))
        for resource in resources:
            resource.join(_CLOSING_SECONDS)

    # training jobs

    def create_training_job(self, request: Request) -> Answer:
        return {"TrainingJobArn": self._train(request).arn}

    def _train(self, request: Request) -> TrainingJob:
        """A training job that is started."""
        name = request["TrainingJobName"]
        self._check_job(request)

        def make() -> TrainingJob:
            return TrainingJob(
                request,
                self._tagged_arn("training-job", name, request),
                self._root / "jobs" / name,
                self._services,
                self._instances,
                self._environment,
                self._grace,
                self._faults,
            )

        with self._lock:
            self._check_open()
            job = self._jobs.add(name, make)
        job.start()
        return job

    def _check_job(self, request: Request) -> None:
        self._instances.check_variables(request.get("Environment", {}))
        if not _ROLE.fullmatch(request["RoleArn"]):
            raise invalid(f"Could not assume role {request['RoleArn']}: it is not the ARN of a role")
        if len(request.get("HyperParameters", {})) > _MAX_HYPERPARAMETERS:
            raise invalid(f"hyperParameters: at most {_MAX_HYPERPARAMETERS} entries")
        if len(request["AlgorithmSpecification"].get("MetricDefinitions", [])) > _MAX_METRICS:
            raise invalid(f"metricDefinitions: at most {_MAX_METRICS} entries")
        if request.get("EnableManagedSpotTraining"):
            stopping = request.get("StoppingCondition", {})
            wait = stopping.get("MaxWaitTimeInSeconds")
            if wait is None or wait < stopping.get("MaxRuntimeInSeconds", 0):
                raise invalid("MaxWaitTimeInSeconds must be present and at least MaxRuntimeInSeconds for spot training")

    def describe_training_job(self, request: Request) -> Answer:
        return self._jobs.of(request).describe()

    def stop_training_job(self, request: Request) -> Answer:
        self._jobs.of(request).stop()
        return {}

    def list_training_jobs(self, request: Request) -> Answer:
        return self._jobs.list(request)

    # transform jobs

    def create_transform_job(self, request: Request) -> Answer:
        name = request["TransformJobName"]
        self._instances.check_variables(request.get("Environment", {}))
        if self._faults.take("late", "CreateTransformJob"):
            raise self._models.missing(request["ModelName"])
        model = self._models.describe(request)
        if is_multi_model(self._container(model)):
            raise invalid("Batch transform does not support containers in MultiModel mode.")

        def make() -> TransformJob:
            job = TransformJob(
                request,
                self._arn("transform-job", name),
                lambda variables: self._transformer(name, model, variables),
                self._start_seconds,
                self._services,
                self._faults,
            )
            self._tagged_arn("transform-job", name, request)
            return job

        with self._lock:
            self._check_open()
            job = self._transforms.add(name, make)
        job.start()
        return {"TransformJobArn": job.arn}

    def describe_transform_job(self, request: Request) -> Answer:
        return self._transforms.of(request).describe()

    def stop_transform_job(self, request: Request) -> Answer:
        self._transforms.of(request).stop()
        return {}

    def list_transform_jobs(self, request: Request) -> Answer:
        return self._transforms.list(request)

    def _transformer(self, job: str, model: Answer, variables: Mapping[str, str]) -> Fleet:
        container = self._container(model)
        return Fleet(
            {"VariantName": job},
            {**container, "Environment": {**container.get("Environment", {}), **variables}},
            self._root / "transforms" / job,
            self._services,
            self._instances,
            TRANSFORM_LOG_GROUP,
            self._environment,
            isolated=model.get("EnableNetworkIsolation", False),
        )

    # models and endpoint configs

    def create_model(self, request: Request) -> Answer:
        for container in [request.get("PrimaryContainer", {}), *request.get("Containers", [])]:
            self._instances.check_variables(container.get("Environment", {}))
            if package := container.get("ModelPackageName"):
                self._registry.check_approved(package)
            check_container(container)
        return self._models.create(request)

    def describe_model(self, request: Request) -> Answer:
        return self._models.describe(request)

    def delete_model(self, request: Request) -> Answer:
        return self._models.delete(request)

    def list_models(self, request: Request) -> Answer:
        return self._models.list(request)

    def create_endpoint_config(self, request: Request) -> Answer:
        if self._faults.take("late", "CreateEndpointConfig"):
            raise self._models.missing(request["ProductionVariants"][0].get("ModelName", ""))
        check_variants(request["ProductionVariants"])
        for variant in request["ProductionVariants"]:
            model = self._models.get(variant.get("ModelName", ""))
            serverless.check_config(variant, {**model, "PrimaryContainer": self._container(model)}, request)
        return self._configs.create(request)

    def describe_endpoint_config(self, request: Request) -> Answer:
        return self._configs.describe(request)

    def delete_endpoint_config(self, request: Request) -> Answer:
        name = request["EndpointConfigName"]
        with self._lock:
            used = [endpoint.arn for endpoint in self._endpoints.values() if endpoint.config == name]
        if used:
            raise invalid(f'Cannot delete endpoint config "{name}": it is used by "{used[0]}".')
        return self._configs.delete(request)

    def list_endpoint_configs(self, request: Request) -> Answer:
        return self._configs.list(request)

    # endpoints

    def create_endpoint(self, request: Request) -> Answer:
        name = request["EndpointName"]
        self._config_of("CreateEndpoint", request)
        with self._lock:
            self._check_open()
            if name.lower() in map(str.lower, self._endpoints):
                raise invalid(f'Cannot create already existing endpoint "{self._arn("endpoint", name)}".')
            arn = self._tagged_arn("endpoint", name, request)
            endpoint = Endpoint(
                name,
                arn,
                lambda config, counts: self._fleets(name, config, counts),
                self._start_seconds,
                self._services,
                self._faults,
            )
            self._endpoints[name] = endpoint
        try:
            endpoint.deploy(request["EndpointConfigName"], request.get("DeploymentConfig"))
        except ApiError:
            self._endpoints.pop(name, None)
            raise
        return {"EndpointArn": arn}

    def update_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        described = self._config_of("UpdateEndpoint", request)["ProductionVariants"]
        endpoint.check_settled()
        if before := endpoint.variant:
            names = [variant["VariantName"] for variant in described]
            check_guardrails(endpoint.variant_names, names, request.get("DeploymentConfig"))
            self._targets.check_update(endpoint.name, before, described[0])
            serverless.check_update(before, described[0], request)
        endpoint.deploy(
            request["EndpointConfigName"],
            request.get("DeploymentConfig"),
            keep_properties=request.get("RetainAllVariantProperties", False),
        )
        return {"EndpointArn": endpoint.arn}

    def _config_of(self, operation: str, request: Request) -> Answer:
        """The endpoint config of a request.

        Raises:
            ApiError: if it does not exist, or is not seen yet by a read that is late.
        """
        if self._faults.take("late", operation):
            raise self._configs.missing(request["EndpointConfigName"])
        return self._configs.describe(request)

    def update_endpoint_weights_and_capacities(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        endpoint.change(request["DesiredWeightsAndCapacities"])
        return {"EndpointArn": endpoint.arn}

    def describe_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        if endpoint.is_in_progress and self._faults.take("late", "DescribeEndpoint"):
            if before := endpoint.describe_late():
                return before
            raise self._missing_endpoint(endpoint.name)
        return endpoint.describe()

    def delete_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        endpoint.check_settled()
        if variant := endpoint.variant:
            self._targets.remove(endpoint.name, variant)
        with self._lock:
            self._endpoints.pop(request["EndpointName"], None)
            self.tags.remove(endpoint.arn)
        endpoint.delete()
        return {}

    def publish_metrics(self) -> None:
        """Tell CloudWatch what was measured at all endpoints since the last call."""
        with self._lock:
            endpoints = list(self._endpoints.values())
        for endpoint in endpoints:
            endpoint.publish_metrics()

    def list_endpoints(self, request: Request) -> Answer:
        with self._lock:
            found = [endpoint.describe() for endpoint in self._endpoints.values()]
        keys = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        shown = [
            {key: entry[key] for key in keys}
            for entry in found
            if request.get("NameContains", "") in entry["EndpointName"]
            and request.get("StatusEquals") in (None, entry["EndpointStatus"])
        ]
        return page("Endpoints", shown, request)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of a name.

        Raises:
            ApiError: if it does not exist.
        """
        with self._lock:
            if endpoint := self._endpoints.get(name):
                return endpoint
        raise self._missing_endpoint(name)

    def endpoint_of_invocation(self, name: str) -> Endpoint:
        """The endpoint of a request to the runtime.

        Raises:
            ApiError: if it does not exist, or is not seen yet by a read that is late.
        """
        if self._faults.take("late", "InvokeEndpoint"):
            raise self._missing_endpoint(name)
        return self.endpoint(name)

    def _missing_endpoint(self, name: str) -> ApiError:
        return invalid(f'Could not find endpoint "{self._arn("endpoint", name)}".')

    def check_scalable_target(self, request: Request) -> None:
        """Check a request of RegisterScalableTarget, which moto answers.

        Raises:
            ApiError: if the target cannot be scaled.
        """
        check_registration(request, lambda name: self.endpoint(name).variant)

    def delete_scaling_policies(self, request: Request) -> None:
        """Delete the policies of a target of DeregisterScalableTarget, which moto answers."""
        self._targets.delete_policies(request)

    def _fleets(self, endpoint: str, config: str, counts: Mapping[str, int]) -> Variants:
        settings = self._configs.get(config)
        capture = settings.get("DataCaptureConfig")
        return Variants(
            settings["ProductionVariants"],
            lambda variant: self._fleet(endpoint, config, variant, counts.get(variant["VariantName"]), capture),
        )

    def _fleet(
        self, endpoint: str, config: str, variant: Mapping[str, Any], count: int | None, capture: Answer | None
    ) -> Fleet:
        model = self._models.get(variant["ModelName"])
        container = self._container(model)
        return Fleet(
            variant,
            {**container, "Environment": {**container.get("Environment", {}), **self._serving}},
            self._root / "endpoints" / endpoint / config,
            self._services,
            self._instances,
            f"{LOG_GROUP}/{endpoint}",
            self._environment,
            isolated=model.get("EnableNetworkIsolation", False),
            count=count,
            capture=capture,
        )

    # shared by the operations

    def _container(self, model: Answer) -> Answer:
        return self._registry.resolved(model.get("PrimaryContainer") or model["Containers"][0])

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self._region}:{ACCOUNT}:{kind}/{name.lower()}"

    def _tagged_arn(self, kind: str, name: str, request: Request) -> str:
        """ARN of a new resource, under which the tags of its request are stored."""
        arn = self._arn(kind, name)
        self.tags.set(arn, request.get("Tags", []))
        return arn

    def _check_open(self) -> None:
        if self._closed:
            raise ApiError("ServiceUnavailable", "the stand-in is shutting down", 503)


def _checked(method: Callable[[Request], Answer], name: str, request: Request) -> Answer:
    """Answer of an operation, if the request is within the bounds of AWS's service model.

    Raises:
        ApiError: if it is not.
    """
    for wrong in violations(_service_model().operation_model(name).input_shape, request):
        raise invalid(
            f"1 validation error detected: Value '{wrong.value}' at '{wrong.path}' failed to satisfy constraint: "
            f"Member must be {wrong.accepted}"
        )
    return method(request)


@cache
def _service_model() -> ServiceModel:
    return get_session().get_service_model("sagemaker")


OPERATIONS = frozenset(
    f"{verb}{resource}"
    for resource, verbs in {
        "TrainingJob": ("Create", "Describe", "Stop"),
        "TrainingJobs": ("List",),
        "ProcessingJob": ("Create", "Describe", "Stop"),
        "ProcessingJobs": ("List",),
        "HyperParameterTuningJob": ("Create", "Describe", "Stop"),
        "HyperParameterTuningJobs": ("List",),
        "TrainingJobsForHyperParameterTuningJob": ("List",),
        "TransformJob": ("Create", "Describe", "Stop"),
        "TransformJobs": ("List",),
        "Model": ("Create", "Describe", "Delete"),
        "Models": ("List",),
        "EndpointConfig": ("Create", "Describe", "Delete"),
        "EndpointConfigs": ("List",),
        "Endpoint": ("Create", "Describe", "Update", "Delete"),
        "Endpoints": ("List",),
        "EndpointWeightsAndCapacities": ("Update",),
        "ModelPackageGroup": ("Create", "Describe", "Delete"),
        "ModelPackageGroups": ("List",),
        "ModelPackage": ("Create", "Describe", "Update", "Delete"),
        "ModelPackages": ("List",),
        "Tags": ("Add", "List", "Delete"),
    }.items()
    for verb in verbs
)
"""Operations implemented here. moto implements the other operations of SageMaker."""
