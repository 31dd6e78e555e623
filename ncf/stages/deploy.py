"""The deploy stage: a model on a SageMaker endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from pydantic import Field, model_validator

from ncf.artifacts.model_folder import KIND
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage, check_one_given
from ncf.stage.overrides import overridden
from ncf.storage import local_copy


class Deploy(Stage, EndpointSettings):
    """Create or update a SageMaker endpoint that hosts a model, and test it with requests of real users.

    A retry continues the deployment of the first attempt. If the endpoint does not reach InService or fails the smoke
    test, its previous state is restored.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.logs",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployment",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.rollout",
        "ncf.sagemaker.hosting.smoke_test",
        "ncf.sagemaker.hosting.versions",
    )
    default_images = {"deploy_image": "deploy"}

    read_too = ("model_uri",)

    model: str = Input("Model", "Folder written by train", optional=True)
    model_uri: str = Field("", description="S3 URI or path of such a folder, instead of the artifact 'model'")

    deploy_overrides: dict[str, Any] = Field(
        {}, description="Parameters of the endpoint as {name: value}; they override the individual parameters"
    )

    endpoint: Path = OutputParameter(str, "Name of the endpoint")
    summary: Path = Output("Markdown", "The endpoint, the version of the model, a console link and a sample request")
    metrics: Path = Output("Metrics", "Number of users in the smoke test, and its response time in seconds")

    @model_validator(mode="after")
    def _one_model(self) -> Deploy:
        check_one_given(self, "model", "model_uri")
        return self

    @model_validator(mode="after")
    def _overrides_fit(self) -> Deploy:
        self.chosen()
        return self

    def chosen(self) -> EndpointSettings:
        """Settings of the endpoint, with the overrides applied.

        Raises:
            ValueError: if an override is invalid. The message names it and the accepted values.
        """
        return cast("EndpointSettings", overridden(self, "deploy_overrides", EndpointSettings)[0])

    def s3_region(self) -> str:
        return self.chosen().region

    def run(self) -> None:
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.deployment import deploy
        from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan, names
        from ncf.sagemaker.hosting.plan_check import check_plan
        from ncf.sagemaker.hosting.smoke_test import SmokeTest
        from ncf.sagemaker.staging import Staging, fingerprint

        settings = self.chosen()
        aws = Aws(settings)
        aws.check_image("deploy_image", settings.deploy_image)
        location = self.model or self.model_uri
        uri = self.uri_of("model") if self.model else location
        with local_copy(location) as folder:
            run = run_identity(settings.run_id)
            endpoint, version = names(settings, run, fingerprint(str(folder), KIND))
            staging = Staging(settings.s3_prefix, version)
            is_archive = settings.serverless_memory > 0
            source = staging.archive_uri("model") if is_archive else staging.uri("model", uri)
            plan = EndpointPlan(settings, run, endpoint, version, source)
            check_plan(aws, plan)
            test = SmokeTest.of_model(folder, settings.smoke_test_users)

            def upload() -> None:
                if is_archive:
                    staging.upload_archive("model", folder)
                else:
                    staging.upload_if_local("model", str(folder), uri)

            seconds = deploy(aws, plan, upload, check=lambda: test.run(aws, endpoint) if test.users else 0.0)
        self.endpoint.write_text(endpoint)
        self.metrics.write_text(json.dumps({"smoke_test_users": len(test.users), "smoke_test_seconds": seconds}))
        url = aws.console_url(f"endpoints/{endpoint}")
        self.summary.write_text(_summary(endpoint, version, test.model_version, test.body(), aws.region, url))


def _summary(endpoint: str, config: str, model_version: str, body: str, region: str, url: str) -> str:
    """Markdown about the endpoint, with a sample request for the shell and for Python."""
    from ncf.reports.markdown import link, table

    rows = [("region", region), ("model version", model_version), ("SageMaker model and endpoint config", config)]
    return f"""# {link(endpoint, url)}

{table(("", ""), rows)}

Sample request in a shell:

```sh
aws sagemaker-runtime invoke-endpoint --region {region} --endpoint-name {endpoint} \\
    --content-type application/json --cli-binary-format raw-in-base64-out \\
    --body '{body.replace("'", "'" + chr(92) + "''")}' /dev/stdout
```

and in Python:

```python
import boto3, json

runtime = boto3.client("sagemaker-runtime", region_name={region!r})
body = {body!r}
answer = runtime.invoke_endpoint(EndpointName={endpoint!r}, ContentType="application/json", Body=body)
print(json.load(answer["Body"]))
```
"""
