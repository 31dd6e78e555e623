"""An endpoint and a group of model packages of the same name, in an AWS account on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from local_account import BUCKET, ROLE
from model_packages import clients, new_group, new_package
from random_model import random_model

from ncf.aws.names import PACKAGE_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.sagemaker.hosting.live import live_endpoints
from ncf.sagemaker.registry import package as registry
from ncf.sagemaker.registry.approval import decide
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import Package
from ncf.sagemaker.staging import Staging
from ncf.stage import execution
from ncf.stages.deploy import Deploy
from ncf.storage import upload

READS = ("describe_", "list_", "get_", "invoke_")


class KilledError(BaseException):
    """The end of a pod by SIGKILL: nothing handles it."""


@dataclass(frozen=True)
class Shop:
    """The endpoint and the group of one test.

    Attributes:
        name: of both.
        folder: for models and outputs.
        aws: clients.
    """

    name: str
    folder: Path
    aws: Aws

    @classmethod
    def open(cls, name: str, folder: Path) -> Shop:
        return cls(new_group(clients(), name), folder, clients())

    def register(
        self, seed: int, status: str = APPROVED, archive: bool = False, errs: bool = False, **properties: str
    ) -> str:
        """Register a model; the ARN of its package.

        Args:
            seed: of the model.
            status: of the package.
            archive: whether the model is packed, for a serverless endpoint.
            errs: whether it fails the smoke test.
            properties: of the package, without ``ncf:``.
        """
        folder = self.folder / f"model-{seed}"
        replace(random_model(seed=seed), history={"broken": False, "errs": errs}).save(folder, {}, {})
        staging = Staging(f"s3://{BUCKET}/{self.name}", f"model-{seed}")
        container: dict[str, Any] = {"Image": "registry/ncf-deploy:1"}
        if archive:
            staging.upload_archive("model", folder)
            container["ModelDataUrl"] = staging.archive_uri("model")
        else:
            uri = staging.uri("model", str(folder))
            upload(folder, uri)
            source = {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            container["ModelDataSource"] = {"S3DataSource": source}
        specification = {"Containers": [container], "SupportedContentTypes": ["application/json"]}
        given = {f"ncf:{name}": value for name, value in properties.items()}
        more = {"CustomerMetadataProperties": given} if given else {}
        return new_package(self.aws, self.name, status, InferenceSpecification=specification, **more)

    def flags(self, package: str, run_id: str, *more: str) -> list[str]:
        """Arguments of deploy. The image is the package's."""
        values = {
            "package": package,
            "role": ROLE,
            "endpoint-name": self.name,
            "run-id": run_id,
            "bake-time": 0,
            **{name: self.folder / run_id / name for name in ("endpoint", "target", "summary", "metrics")},
        }
        return [*(part for name, value in values.items() for part in (f"--{name}", str(value))), *more]

    def release(self, package: str, run_id: str, *more: str) -> str:
        """Deploy a package to the endpoint; the summary."""
        execution.run(Deploy, self.flags(package, run_id, *more))
        return (self.folder / run_id / "summary").read_text()

    def start(self, package: str, run_id: str, *more: str) -> subprocess.Popen[str]:
        """The same as a process."""
        command = [sys.executable, "-m", "ncf", "deploy", *self.flags(package, run_id, *more)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))

    def found(self, arn: str) -> Package:
        package = registry.describe(self.aws, arn)
        assert package
        return package

    def decide(self, arn: str, status: str) -> None:
        decide(self.aws, self.found(arn), status, "decided by the test")

    def change(self, arn: str, **changes: Any) -> None:
        """Change a package by hand, as a person may who may approve it."""
        self.aws.call("sagemaker", "update_model_package", ModelPackageArn=arn, **changes)

    def served(self) -> str:
        """The package in service, by the tag of its config: also that of the endpoint, and the only live one."""
        state = self.state()
        config = self.aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
        arn = tags_of(self.aws, config["EndpointConfigArn"])[PACKAGE_TAG]
        assert tags_of(self.aws, state["EndpointArn"])[PACKAGE_TAG] == arn
        live = {package: endpoints for package, endpoints in live_endpoints(self.aws).items() if self.name in endpoints}
        assert live == {arn: [self.name]}
        return arn

    def state(self) -> dict[str, Any]:
        """Description of the endpoint."""
        return self.aws.call("sagemaker", "describe_endpoint", EndpointName=self.name)


def is_change(operation: str) -> bool:
    return not operation.startswith(READS)


def kill_after(number: int, monkeypatch: pytest.MonkeyPatch, reads: bool = False) -> list[str]:
    """Kill the pod after a number of changes, or of calls; those that it has made."""
    made: list[str] = []
    call = Aws.call

    def dying(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        if reads or is_change(operation):
            made.append(operation)
            if len(made) == number:
                raise KilledError(operation)
        return answer

    monkeypatch.setattr(Aws, "call", dying)
    return made
