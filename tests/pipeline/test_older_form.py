"""The form for KFP before 2.14, run as it is committed: each parameter reaches its stage without any default."""

from __future__ import annotations

import uuid
from pathlib import Path

import boto3
import pytest
from kfp.components import load_component_from_file
from names import Names

import pipeline
from components.local.aws import LocalAws
from components.local.executors import in_processes
from components.local.process_runner import pods_as_processes
from ncf.data import synthetic
from ncf.stage.executor_input import RUN_ID_PLACEHOLDER

ROLE = "arn:aws:iam::123456789012:role/test"
STAGES = ["check", "preprocess", "negative-sampling", "train", "evaluate", "register", "deploy", "finish"]


@pytest.mark.slow
def test_the_gate_open_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.write(tmp_path / "data", users=300, items=250, interactions=9_000, seed=3)
    committed = (pipeline.ROOT / pipeline.KUBEFLOW_1_7_YAML).read_text()
    with in_processes() as executor, LocalAws(tmp_path / "aws", executor.instances) as aws:
        aws.create_bucket("bucket")
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        sagemaker = boto3.client("sagemaker")
        for least, expected in ((0.0, STAGES), (1.0, [name for name in STAGES if name != "deploy"])):
            package = tmp_path / f"{least}.yaml"
            package.write_text(committed.replace(RUN_ID_PLACEHOLDER, str(uuid.uuid4())))
            recorder = Names()
            with pods_as_processes(tmp_path / "root", aws.environment, recorder):
                load_component_from_file(str(package))(
                    data_uri=str(tmp_path / "data" / "interactions.csv"),
                    aws_s3_prefix="s3://bucket/ncf",
                    train_role=ROLE,
                    deploy_role=ROLE,
                    train_overrides={"factors": 8, "tower": [16, 8], "epochs": 2},
                    gate_min_hr_at_10=least,
                    gate_not_worse_than="none",
                )
            assert [name for name in recorder.names if name in STAGES] == expected
        (endpoint,) = sagemaker.list_endpoints()["Endpoints"]
        assert endpoint["EndpointStatus"] == "InService"
