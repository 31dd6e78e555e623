"""The gate deploys or does not, from the Python pipeline and from its compiled YAML."""

# no postponed annotations: KFP reads them
import os
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from kfp import compiler, dsl
from kfp.components import load_component_from_file
from listening import family, listening_at
from names import Names
from random_model import random_model

import pipeline
from components.local.aws import LocalAws, Processes
from components.local.process_runner import pods_as_processes

ROLE = "arn:aws:iam::123456789012:role/test"
SERVE = Path(pipeline.__file__).parent / "images" / "deploy" / "serve"


@dsl.pipeline(name="gate")
def gate_pipeline(model_uri: str, passed: bool) -> None:
    pipeline.deployment(
        release_now=passed,
        package="",
        model_uri=model_uri,
        role=ROLE,
        region="us-east-1",
        s3_prefix="s3://bucket/ncf",
        endpoint_name="",
        instance_type="ml.m5.large",
        deploy_image="r.example/ncf-deploy:1",
        deploy_overrides={},
    )


@pytest.mark.parametrize("form", ["python", "yaml"])
@pytest.mark.parametrize("passed", [True, False])
def test_the_gate_decides_on_the_deployment(
    form: str, passed: bool, tmp_path: Path, quick_pods: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_model().save(tmp_path / "model", {}, {})
    run: Any = gate_pipeline
    if form == "yaml":
        compiler.Compiler().compile(gate_pipeline, str(tmp_path / "gate.yaml"))
        run = load_component_from_file(str(tmp_path / "gate.yaml"))
    recorder = Names()
    with LocalAws(tmp_path / "aws", Processes({"ncf-deploy": [sys.executable, str(SERVE)]})) as aws:
        aws.create_bucket("bucket")
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        with pods_as_processes(tmp_path / "root", {}, recorder):
            run(model_uri=str(tmp_path / "model"), passed=passed)
        endpoints = boto3.client("sagemaker").list_endpoints()["Endpoints"]
        heard = listening_at(family(os.getpid()))
    assert heard == {"127.0.0.1"}, "neither the stand-in nor the endpoint answers other machines"
    assert recorder.names == (["deploy"] if passed else [])
    assert [entry["EndpointStatus"] for entry in endpoints] == (["InService"] if passed else [])
