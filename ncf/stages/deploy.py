"""The deploy stage: a model, or an approved model package, on a SageMaker endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator, model_validator

from ncf.artifacts.model_folder import KIND
from ncf.errors import InputError
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage, check_one_given
from ncf.stage.overrides import with_overrides
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan
    from ncf.sagemaker.registry.package import Package

_OF_PACKAGE = "of the package"
"""In place of an image that is not known yet."""


class Deploy(Stage, EndpointSettings):
    """Create or update a SageMaker endpoint that hosts a model, and test it with requests of real users.

    A retry continues the deployment of the first attempt. If the endpoint does not reach InService or fails the smoke
    test, its previous state is restored. With 'target_model' the endpoint hosts several models, and only this one is
    added or replaced. A model package must be approved when the deployment starts, directly before
    the endpoint is changed, and after the smoke test. Its model must be the one that was registered.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.logs",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.deployment",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.multi_model",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.rollout",
        "ncf.sagemaker.hosting.shared_endpoint",
        "ncf.sagemaker.hosting.smoke_test",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.registry.package",
    )
    default_images = {"deploy_image": "deploy"}

    read_too = ("model_uri",)

    model: str = Input("Model", "Folder written by train", optional=True)
    model_uri: str = Field("", description="S3 URI or path of such a folder, instead of the artifact 'model'")

    package: str = Field(
        "",
        description="Approved model package in place of the model and of 'deploy_image': ARN, or GROUP/VERSION; "
        "'': none",
    )
    deploy_image: str = Field("", description="Image of the endpoint, in ECR; not used with 'package'")
    deploy_overrides: dict[str, Any] = Field(
        {},
        description="Parameters of the endpoint as {name: value}; they override the individual parameters; with "
        "'package' all but deploy_image",
    )

    endpoint: Path = OutputParameter(str, "Name of the endpoint")
    target: Path = OutputParameter(str, "TargetModel of requests to a multi-model endpoint; '' for others")
    summary: Path = Output("Markdown", "The endpoint, the version of the model, a console link and a sample request")
    metrics: Path = Output("Metrics", "Number of users in the smoke test, and its response time in seconds")

    @field_validator("package")
    @classmethod
    def _names_a_version(cls, value: str) -> str:
        if value and "/" not in value:  # a retry has to deploy the same one
            raise ValueError("expected the ARN of a model package version, or GROUP/VERSION")
        return value

    @model_validator(mode="after")
    def _one_model(self) -> Deploy:
        if not self.package:
            check_one_given(self, "model", "model_uri")
            if not self.deploy_image and not self.deploy_overrides.get("deploy_image"):
                raise ValueError("parameter 'deploy_image' is '': expected the image of the endpoint, or a 'package'")
        elif "deploy_image" in self.deploy_overrides:
            raise ValueError(
                "parameter 'deploy_overrides' has 'deploy_image', but a package names the image of its endpoint; leave "
                "it out"
            )
        return self

    @model_validator(mode="after")
    def _overrides_fit(self) -> Deploy:
        self.chosen()
        return self

    def chosen(self, image: str = "") -> EndpointSettings:
        """Settings of the endpoint, with the overrides applied.

        Args:
            image: of the package, if it is known.

        Raises:
            ValueError: if an override is invalid. The message names it and the accepted values.
        """
        names = {name: name for name in EndpointSettings.model_fields}
        values = {name: getattr(self, name) for name in names}
        if self.package:
            values["deploy_image"] = image or _OF_PACKAGE
        return cast(
            "EndpointSettings",
            with_overrides(values, names, "deploy_overrides", self.deploy_overrides, EndpointSettings)[0],
        )

    def s3_region(self) -> str:
        return self.chosen().region

    def run(self) -> None:
        from ncf.aws.session import Aws

        aws = Aws(self.chosen())
        if self.package:
            self._release(aws)
        else:
            self._deploy_model(aws)

    def _deploy_model(self, aws: Aws) -> None:
        from ncf.aws.names import run_identity
        from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
        from ncf.sagemaker.staging import Staging, fingerprint

        settings = self.chosen()
        aws.check_image("deploy_image", settings.deploy_image)
        location = self.model or self.model_uri
        uri = self.uri_of("model") if self.model else location
        with local_copy(location) as folder:
            if settings.target_model:
                self._add_model(aws, settings, folder)
                return
            run = run_identity(settings.run_id)
            endpoint, version = names(settings, run, fingerprint(str(folder), KIND))
            staging = Staging(settings.s3_prefix, version)
            is_archive = settings.serverless_memory > 0
            source = staging.archive_uri("model") if is_archive else staging.uri("model", uri)

            def upload() -> None:
                if is_archive:
                    staging.upload_archive("model", folder)
                else:
                    staging.upload_if_local("model", str(folder), uri)

            self._bring_up(aws, EndpointPlan(settings, run, endpoint, version, source), folder, upload)

    def _release(self, aws: Aws) -> None:
        """Deploy the package, unless it may not be served. Then nothing of an earlier try remains."""
        from ncf.artifacts import manifest
        from ncf.artifacts.archive import SUFFIXES
        from ncf.aws.names import run_identity
        from ncf.sagemaker.hosting.deployed_model import local_model
        from ncf.sagemaker.hosting.deployment import withdraw
        from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
        from ncf.sagemaker.hosting.packages import check_approved, check_model, obstacle
        from ncf.sagemaker.registry.package import find

        package = find(aws, self.package)
        settings = self.chosen(package.image)
        if settings.target_model:
            self._add_package(aws, settings, package)
            return
        run = run_identity(settings.run_id)
        plan = EndpointPlan(settings, run, *names(settings, run, package.arn), package.model_uri, package.arn)
        if reason := obstacle(package):
            withdraw(aws, plan)
            raise InputError(f"parameter 'package': {reason}")
        if settings.serverless_memory and not package.model_uri.endswith(SUFFIXES):
            raise InputError(
                f"parameter 'serverless_memory' is {settings.serverless_memory}: the model of {package.name} is not an "
                "archive, which a serverless endpoint needs; train with the same 'deploy_overrides', or set it to 0"
            )
        with local_model(package.model_uri) as folder:
            check_model(package, manifest.fingerprint(manifest.read(folder, KIND)))
            self._bring_up(
                aws,
                plan,
                folder,
                lambda: None,
                lambda: check_approved(aws, package.arn),
                {"model package": package.name},
            )

    def _add_package(self, aws: Aws, settings: EndpointSettings, package: Package) -> None:
        """Add the model of a package to a multi-model endpoint."""
        from ncf.artifacts import manifest
        from ncf.sagemaker.hosting.deployed_model import local_model
        from ncf.sagemaker.hosting.packages import check_approved, check_model

        check_approved(aws, package.arn)
        with local_model(package.model_uri) as folder:
            check_model(package, manifest.fingerprint(manifest.read(folder, KIND)))
            about = {"model package": package.name}
            self._add_model(aws, settings, folder, lambda: check_approved(aws, package.arn), about)

    def _add_model(
        self,
        aws: Aws,
        settings: EndpointSettings,
        folder: Path,
        permit: Callable[[], None] = lambda: None,
        about: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Add a model to a multi-model endpoint, or a new version of it; arguments as of :meth:`_bring_up`."""
        from ncf.artifacts import manifest
        from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
        from ncf.sagemaker.hosting.multi_model import SharedModels, target_model

        models = SharedModels.of(settings.s3_prefix, settings.endpoint_name)
        plan = EndpointPlan(settings, "", *names(settings, "", models.archives), models.archives)
        target = target_model(settings.target_model, manifest.version(manifest.read(folder, KIND)))
        about = {**about, "TargetModel": target, "record of the live version": models.live_uri(settings.target_model)}
        self._bring_up(aws, plan, folder, lambda: models.add(target, folder), permit, about, target)
        models.set_live(settings.target_model, target)

    def _bring_up(
        self,
        aws: Aws,
        plan: EndpointPlan,
        folder: Path,
        upload: Callable[[], None],
        permit: Callable[[], None] = lambda: None,
        about: Mapping[str, str] = MappingProxyType({}),
        target: str = "",
    ) -> None:
        """Deploy, test and describe the endpoint.

        Args:
            aws: clients to call.
            plan: of the deployment.
            folder: of the model, for the smoke test.
            upload: copies the model to S3.
            permit: called before the endpoint is created or updated, and after the smoke test; what it raises undoes
                the deployment.
            about: further rows of the summary.
            target: ``TargetModel`` on a multi-model endpoint; '' for others.
        """
        from ncf.sagemaker.hosting.deployment import deploy
        from ncf.sagemaker.hosting.endpoint_summary import summary
        from ncf.sagemaker.hosting.plan_check import check_plan
        from ncf.sagemaker.hosting.shared_endpoint import check_kind, deploy_one
        from ncf.sagemaker.hosting.smoke_test import SmokeTest

        check_plan(aws, plan)
        check_kind(aws, plan)
        count = plan.settings.smoke_test_users
        test = SmokeTest.of_model(folder, max(1, count))  # the summary has a sample request in any case

        def tested() -> float:
            seconds = test.run(aws, plan.name, target_model=target) if count else 0.0
            permit()
            return seconds

        seconds = (deploy_one if target else deploy)(aws, plan, upload, tested, permit)
        self.endpoint.write_text(plan.name)
        self.target.write_text(target)
        self.metrics.write_text(
            json.dumps({"smoke_test_users": count and len(test.users), "smoke_test_seconds": seconds})
        )
        url = aws.console_url(f"endpoints/{plan.name}")
        rows = {
            "region": aws.region,
            **about,
            "model version": test.model_version,
            "SageMaker model and endpoint config": plan.version,
        }
        self.summary.write_text(summary(plan.name, rows, test.body(), aws.region, url, target))
