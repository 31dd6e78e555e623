"""Guarded updates: traffic goes over in steps, alarms bring it back, and a good update loses no request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, client, put_model, settle, tar_gz

from components.local.aws import LocalAws
from components.local.aws.capture import _captured
from components.local.aws.processes import wait_until


def deployment(kind: str = "ALL_AT_ONCE", bake: int = 1, alarms: tuple[str, ...] = (), percent: int = 0) -> Any:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": bake}
    if percent:
        size = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
        routing[size] = {"Type": "CAPACITY_PERCENT", "Value": percent}
    config: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


class Stream:
    """Requests that never cease.

    Attributes:
        answers: models that have answered, in order.
        errors: codes of what has failed.
    """

    def __init__(self, aws: LocalAws, endpoint: str, body: str = "1") -> None:
        self.answers: list[str] = []
        self.errors: list[str] = []
        self._runtime, self._endpoint, self._body = client(aws, "sagemaker-runtime"), endpoint, body
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(2)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                answer = self._runtime.invoke_endpoint(EndpointName=self._endpoint, Body=self._body)
                self.answers.append(json.loads(answer["Body"].read())["model"])
            except ClientError as error:
                self.errors.append(error.response["Error"]["Code"])

    @contextmanager
    def flowing(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            assert wait_until(lambda: len(self.answers) + len(self.errors) > 5, 5)
            yield
            time.sleep(0.2)
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(5)


def serve(aws: LocalAws, endpoint: str, model: str = "blue") -> Any:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=put_model(aws, f"{endpoint}-{model}", model))
    assert settle(sagemaker, endpoint)["EndpointStatus"] == "InService"
    return sagemaker


def alarm_on_errors(aws: LocalAws, endpoint: str) -> str:
    name = f"{endpoint}-errors"
    client(aws, "cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "main"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    return name


@pytest.mark.parametrize(
    ("kind", "percent", "bake"), [("ALL_AT_ONCE", 0, 1), ("CANARY", 20, 1), ("LINEAR", 34, 1)], ids=lambda v: str(v)
)
def test_no_request_fails_in_a_good_update(aws: LocalAws, kind: str, percent: int, bake: int) -> None:
    endpoint = f"good-{kind.lower().replace('_', '-')}"
    sagemaker = serve(aws, endpoint)
    stream = Stream(aws, endpoint)
    with stream.flowing():
        how = deployment(kind, bake, (alarm_on_errors(aws, endpoint),), percent)
        config = put_model(aws, f"{endpoint}-green", "green")
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=how)
        described = settle(sagemaker, endpoint)
    assert described["EndpointConfigName"] == config
    assert described["LastDeploymentConfig"] == how
    assert stream.errors == []
    first, last = stream.answers.index("green"), len(stream.answers) - 1 - stream.answers[::-1].index("blue")
    if kind == "ALL_AT_ONCE":
        assert first >= last - 4, "some are still on their way"
    else:
        share = Counter(stream.answers[first : first + 50])["green"] / 50
        assert share == pytest.approx(percent / 100, abs=0.06)
    assert stream.answers[-1] == "green"


def test_a_model_that_answers_5xx_sets_the_alarm_off_and_the_update_goes_back(aws: LocalAws) -> None:
    sagemaker = serve(aws, "errs")
    alarm = alarm_on_errors(aws, "errs")
    stream = Stream(aws, "errs")
    with stream.flowing():
        how = deployment("CANARY", 2, (alarm,), 10)
        config = put_model(aws, "errs-green", "answers with an error")
        sagemaker.update_endpoint(EndpointName="errs", EndpointConfigName=config, DeploymentConfig=how)
        described = settle(sagemaker, "errs")
        assert described["EndpointConfigName"] == "errs-blue"
        assert "10% of the traffic" in described["FailureReason"]
        assert "Invocation5XXErrors" in described["FailureReason"]
        failed, answered = len(stream.errors), len(stream.answers)
        assert wait_until(lambda: len(stream.answers) > answered + 20, 5)
    assert set(stream.errors) == {"ModelError"}
    assert len(stream.errors) == failed, "nothing fails once the old fleet has it all again"
    assert failed < 0.3 * len(stream.answers), "only the canary's share failed"
    state = client(aws, "cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]
    assert state["StateValue"] == "ALARM"


@pytest.mark.parametrize("when", ["canary", "after the whole shift"])
def test_an_alarm_brings_an_update_back(aws: LocalAws, when: str) -> None:
    endpoint = "alarmed-" + when.replace(" ", "-")
    sagemaker = serve(aws, endpoint)
    alarm = alarm_on_errors(aws, endpoint)
    stream = Stream(aws, endpoint)
    with stream.flowing():
        if when == "canary":
            aws.faults.add("alarm", endpoint, seconds=30)
        config = put_model(aws, f"{endpoint}-green", "green")
        how = deployment("CANARY", 1, (alarm,), 25)
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=how)
        if when != "canary":
            assert wait_until(lambda: stream.answers[-8:] == ["green"] * 8, 10)
            client(aws, "cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="too slow")
        described = settle(sagemaker, endpoint)
    assert described["EndpointConfigName"] == f"{endpoint}-blue"
    assert ("25%" if when == "canary" else "100%") in described["FailureReason"]
    assert stream.errors == []
    assert "green" in stream.answers or when == "canary", "there the alarm is as quick as the first request"
    assert stream.answers[-1] == "blue"


def test_an_alarm_that_fires_before_takes_the_update_back_at_once(aws: LocalAws) -> None:
    sagemaker = serve(aws, "early")
    alarm = alarm_on_errors(aws, "early")
    client(aws, "cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="of old")
    config = put_model(aws, "early-green", "green")
    sagemaker.update_endpoint(
        EndpointName="early", EndpointConfigName=config, DeploymentConfig=deployment(alarms=(alarm,))
    )
    assert "of old" in settle(sagemaker, "early")["FailureReason"]
    with pytest.raises(ClientError, match="Could not find alarm: none"):
        sagemaker.update_endpoint(
            EndpointName="early", EndpointConfigName=config, DeploymentConfig=deployment(alarms=("none",))
        )


def test_the_number_of_instances_is_retained_where_that_is_asked_for(aws: LocalAws) -> None:
    sagemaker = serve(aws, "scaled")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="scaled", DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": 3}]
    )
    for config, keep, count in (("kept", True, 3), ("reset", False, 1)):
        name = put_model(aws, f"scaled-{config}", config)
        sagemaker.update_endpoint(EndpointName="scaled", EndpointConfigName=name, RetainAllVariantProperties=keep)
        assert settle(sagemaker, "scaled")["ProductionVariants"][0]["DesiredInstanceCount"] == count


def test_requests_are_captured(aws: LocalAws) -> None:
    sagemaker = client(aws, "sagemaker")
    put_model(aws, "captured", "x")
    variant = {"VariantName": "main", "ModelName": "captured", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://bucket/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName="captured-half", ProductionVariants=[variant], DataCaptureConfig=capture
    )
    sagemaker.create_endpoint(EndpointName="captured", EndpointConfigName="captured-half")
    assert settle(sagemaker, "captured")["DataCaptureConfig"]["CurrentSamplingPercentage"] == 50
    for number in range(6):
        client(aws, "sagemaker-runtime").invoke_endpoint(
            EndpointName="captured", Body=str(number), ContentType="application/json"
        )
    s3 = client(aws, "s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix="captured/captured/main/")["Contents"]]
    assert len(keys) == 3
    record = json.loads(s3.get_object(Bucket="bucket", Key=keys[0])["Body"].read())
    assert record["captureData"]["endpointInput"]["data"] == "1"
    assert json.loads(record["captureData"]["endpointOutput"]["data"])["got"] == 1


def test_a_captured_body_of_another_content_type_is_in_base64() -> None:
    headers = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
    sides = {
        kind: _captured("Input", b"[1]", kind, headers)
        for kind in ("application/json; charset=utf-8", "text/csv", "application/jsonlines")
    }
    assert {kind: (side["encoding"], side["data"]) for kind, side in sides.items()} == {
        "application/json; charset=utf-8": ("JSON", "[1]"),
        "text/csv": ("CSV", "[1]"),
        "application/jsonlines": ("BASE64", "WzFd"),
    }
    assert _captured("Input", b"1", "application/json", {})["encoding"] == "BASE64"


def test_a_serverless_endpoint(aws: LocalAws) -> None:
    sagemaker = client(aws, "sagemaker")
    put_model(aws, "uncompressed", "x")
    variant = {
        "VariantName": "main",
        "ModelName": "uncompressed",
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
    }
    with pytest.raises(ClientError, match="do not support ModelDataSource"):
        sagemaker.create_endpoint_config(EndpointConfigName="serverless", ProductionVariants=[variant])
    client(aws, "s3").put_object(Bucket="bucket", Key="serverless.tar.gz", Body=tar_gz("text", b"packed"))
    container = {"Image": "ncf-deploy", "ModelDataUrl": "s3://bucket/serverless.tar.gz"}
    sagemaker.create_model(ModelName="packed", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName="serverless", ProductionVariants=[{**variant, "ModelName": "packed"}]
    )
    sagemaker.create_endpoint(EndpointName="serverless", EndpointConfigName="serverless")
    described = settle(sagemaker, "serverless")["ProductionVariants"][0]
    assert described["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048
    runtime = client(aws, "sagemaker-runtime")
    assert json.loads(runtime.invoke_endpoint(EndpointName="serverless", Body="1")["Body"].read())["model"] == "packed"
    with pytest.raises(ClientError, match="at most 4194304"):
        runtime.invoke_endpoint(EndpointName="serverless", Body=b"0" * 5_000_000)
