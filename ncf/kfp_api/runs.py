"""Runs of a cluster by their names: looked up, created, terminated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import kfp_server_api
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from ncf import kfp_access
from ncf.errors import InputError, RemoteError
from ncf.kfp_api.filters import named
from ncf.kfp_api.refusals import Call, refused, unanswered
from ncf.kfp_api.sending import prepare

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
"""URL of the API for pods of its cluster."""
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
"""Path at which pods have a projected token for the API."""
LATEST = "latest"
"""The newest version of a pipeline."""
_PAGE = 100
_NEVER_VALID = (400, 404, 409, 412, 413, 422)
"""HTTP statuses of an answer to CreateRun that another try would get, too."""
_ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "CANCELING")


class NotSubmittableError(InputError):
    """A run that the API can never accept as it is."""


@dataclass(frozen=True)
class Run:
    """A run of the cluster.

    Attributes:
        id: UUID.
        created: time of its creation, by the clock of the API.
        state: of KFP, such as RUNNING; '' while KFP has none.
    """

    id: str
    created: datetime
    state: str

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED


@dataclass(frozen=True)
class NewRun:
    """A run to create.

    Attributes:
        name: of the run.
        experiment: name of its experiment, which is created if it does not exist.
        pipeline: name of a pipeline on the cluster.
        version: name of its version, or :data:`LATEST`.
        arguments: arguments of the pipeline, by name.
        pipeline_root: URI of its artifacts; '' for the cluster's default.
        service_account: of its pods; '' for the cluster's default.
    """

    name: str
    experiment: str
    pipeline: str
    version: str = LATEST
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str = ""
    service_account: str = ""


class Runs:
    """Runs of one namespace.

    Args:
        host: URL of the API.
        namespace: profile of a multi-user cluster; '' for a single-user one.
        token: file with a bearer token, which is read for each request, as projected tokens change; '' for that of the
            pod, of the environment, or none.
    """

    def __init__(self, host: str, namespace: str = "", token: str = "") -> None:
        self._host, self._namespace = host, namespace
        self._token = token or (POD_TOKEN if host == IN_CLUSTER else "")  # no other host may see the pod's token
        settings = kfp_server_api.Configuration(host=host)
        if self._token or kfp_access.token():
            settings.api_key["authorization"] = ""
            settings.api_key_prefix["authorization"] = "Bearer"
            settings.refresh_api_key_hook = self._log_in
        self._client = kfp_server_api.ApiClient(settings)
        prepare(self._client)

    def _log_in(self, settings: Any) -> None:
        """Read the token, before each request."""
        settings.api_key["authorization"] = kfp_access.token(self._token)

    def find(self, experiment: str, name: str) -> list[Run]:
        """Runs of a name in an experiment, the first one first. Archived ones count, too.

        Raises:
            InputError: if the API cannot be reached, or refuses.
            RemoteError: if the API fails.
        """
        experiment_id = self._experiment(experiment)
        if not experiment_id:
            return []
        with self._translated():
            service = kfp_server_api.RunServiceApi(self._client)
            answer = service.run_service_list_runs(
                experiment_id=experiment_id, filter=named(name), page_size=_PAGE, **self._of_namespace
            )
        found = [Run(run.run_id, run.created_at, run.state or "") for run in answer.runs or []]
        return sorted(found, key=lambda run: (run.created, run.id))

    def create(self, run: NewRun) -> str:
        """Create a run. KFP accepts any number of the same name.

        Returns:
            ID of the run.

        Raises:
            NotSubmittableError: if the pipeline or its version does not exist, or the API refuses the run itself.
            InputError: if the API cannot be reached, or refuses the caller.
            RemoteError: if the API fails. It may have created the run.
        """
        pipeline_id, version_id = self._version(run.pipeline, run.version)
        body = kfp_server_api.V2beta1Run(
            display_name=run.name,
            experiment_id=self._experiment(run.experiment) or self._create_experiment(run.experiment),
            pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                pipeline_id=pipeline_id, pipeline_version_id=version_id
            ),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(
                parameters=dict(run.arguments), pipeline_root=run.pipeline_root or None
            ),
            service_account=run.service_account or None,
        )
        with self._translated():
            try:
                made = kfp_server_api.RunServiceApi(self._client).run_service_create_run(body)
            except ApiException as error:
                if error.status in _NEVER_VALID:
                    raise NotSubmittableError(str(refused(self._call, error))) from None
                raise
        if not made.run_id:
            raise RemoteError(f"host: '{self._host}' answers, but returns no ID of the run")
        return str(made.run_id)

    def terminate(self, run_id: str) -> None:
        """Terminate a run.

        Raises:
            InputError: if the API cannot be reached, or refuses.
            RemoteError: if the API fails.
        """
        with self._translated():
            kfp_server_api.RunServiceApi(self._client).run_service_terminate_run(run_id)

    def _version(self, pipeline: str, version: str) -> tuple[str, str]:
        """IDs of a pipeline and of one of its versions."""
        service = kfp_server_api.PipelineServiceApi(self._client)
        with self._translated():
            pipelines = service.pipeline_service_list_pipelines(filter=named(pipeline), **self._of_namespace)
        if not pipelines.pipelines:
            raise NotSubmittableError(f"pipeline: there is no pipeline '{pipeline}'; 'pipeline.py upload' creates it")
        pipeline_id = str(pipelines.pipelines[0].pipeline_id)
        wanted = {"sort_by": "created_at desc"} if version == LATEST else {"filter": named(version)}
        with self._translated():
            versions = service.pipeline_service_list_pipeline_versions(pipeline_id, page_size=1, **wanted)
        if not versions.pipeline_versions:
            said = "no version" if version == LATEST else f"no version '{version}'"
            raise NotSubmittableError(
                f"version: pipeline '{pipeline}' has {said}; 'pipeline.py upload --version-name NAME' adds one"
            )
        return pipeline_id, str(versions.pipeline_versions[0].pipeline_version_id)

    def _experiment(self, name: str) -> str:
        """ID of an experiment; '' if it does not exist."""
        service = kfp_server_api.ExperimentServiceApi(self._client)
        with self._translated():
            found = service.experiment_service_list_experiments(filter=named(name), **self._of_namespace).experiments
        return str(found[0].experiment_id) if found else ""

    def _create_experiment(self, name: str) -> str:
        body = kfp_server_api.V2beta1Experiment(display_name=name, **self._of_namespace)
        with self._translated():
            made = kfp_server_api.ExperimentServiceApi(self._client).experiment_service_create_experiment(body)
        return str(made.experiment_id)

    @cached_property
    def _of_namespace(self) -> dict[str, str]:
        """The namespace as an argument of calls. A single-user KFP refuses any."""
        with self._translated():
            health = kfp_server_api.HealthzServiceApi(self._client).healthz_service_get_healthz()
        if health.multi_user and not self._namespace:
            raise InputError("namespace: this KFP is multi-user; expected that of your profile, such as my-profile")
        return {"namespace": self._namespace} if health.multi_user else {}

    @property
    def _call(self) -> Call:
        return Call(self._host, bool(self._client.configuration.api_key.get("authorization")), self._host == IN_CLUSTER)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise refused(self._call, error) from None
        except HTTPError as error:
            raise unanswered(self._call, error) from None
