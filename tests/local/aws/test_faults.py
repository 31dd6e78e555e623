"""Faults that are asked for happen, once, where and when they were asked for; they can be asked for over HTTP."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from local_jobs import another_key, client, finish, keys_of, log_lines, put_model, request, settle, signed, wait

from components.local.aws import LocalAws
from components.local.aws.errors import ApiError

CHECKPOINTS = {"S3Uri": "s3://bucket/checkpoints/{}", "LocalPath": "/opt/ml/checkpoints"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(autouse=True)
def no_faults_left(aws: LocalAws) -> Iterator[None]:
    yield
    assert aws.faults.coming() == []


def spot(name: str, mode: str = "interrupted", **changes: Any) -> dict[str, Any]:
    return request(
        name,
        mode,
        EnableManagedSpotTraining=True,
        CheckpointConfig={**CHECKPOINTS, "S3Uri": CHECKPOINTS["S3Uri"].format(name)},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
        **changes,
    )


def test_an_interrupted_spot_job_goes_on_with_its_checkpoints_on_new_hosts(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("interrupt", "spot-two", times=2, after_line="waiting", after=0.8)
    sagemaker.create_training_job(**spot("spot-two", hosts=2))
    described = finish(sagemaker, "spot-two")
    assert described["TrainingJobStatus"] == "Completed"
    states = [entry["Status"] for entry in described["SecondaryStatusTransitions"]]
    assert states.count("Interrupted") == 2
    assert states.count("Training") == 3
    assert "FailureReason" not in described
    assert described["BillableTimeInSeconds"] < described["TrainingTimeInSeconds"]
    lines = log_lines(aws, "/aws/sagemaker/TrainingJobs", "spot-two/algo-1")
    assert [line for line in lines if "rounds" in line] == [f"rounds before this: {number}" for number in range(3)]


def test_only_spot_jobs_are_interrupted(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("interrupt", "on-demand")
    sagemaker.create_training_job(**request("on-demand"))
    assert finish(sagemaker, "on-demand")["TrainingJobStatus"] == "Completed"
    aws.faults.clear()


def test_a_spot_job_waits_no_longer_than_it_may(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("interrupt", "waits", after_line="waiting", seconds=60)
    stopping = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 3}
    sagemaker.create_training_job(**{**spot("waits"), "StoppingCondition": {**stopping, "MaxRuntimeInSeconds": 3}})
    described = finish(sagemaker, "waits")
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


@pytest.mark.parametrize("state", ["Starting", "Training", "Uploading"])
def test_a_job_fails_with_the_reason_that_was_asked_for(aws: LocalAws, sagemaker: Any, state: str) -> None:
    reason = "CapacityError: Unable to provision requested ML compute capacity."
    name = f"fails-{state.lower()}"
    aws.faults.add("fail", name, state=state, reason=reason)
    sagemaker.create_training_job(**request(name, "wait" if state == "Training" else "train"))
    described = finish(sagemaker, name)
    assert (described["TrainingJobStatus"], described["FailureReason"]) == ("Failed", reason)
    assert [entry["Status"] for entry in described["SecondaryStatusTransitions"]][-2:] == [state, "Failed"]


def test_a_fault_may_be_asked_for_while_the_job_runs(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_training_job(**request("later", "wait"))
    wait(
        lambda: sagemaker.describe_training_job(TrainingJobName="later"), "SecondaryStatus", ("Starting", "Downloading")
    )
    aws.faults.add("fail", "later", reason="InternalServerError: gone")
    assert finish(sagemaker, "later")["FailureReason"] == "InternalServerError: gone"


def test_a_state_is_held(aws: LocalAws, sagemaker: Any) -> None:
    aws.faults.add("hold", "held", state="Starting", seconds=1.0)
    sagemaker.create_training_job(**request("held"))
    described = finish(sagemaker, "held")
    first = described["SecondaryStatusTransitions"][0]
    assert (first["EndTime"] - first["StartTime"]).total_seconds() >= 1.0
    aws.faults.add("hold", "held", state="Creating", seconds=1.0)
    began = time.monotonic()
    sagemaker.create_endpoint(EndpointName="held", EndpointConfigName=put_model(aws, "held", "x"))
    settle(sagemaker, "held")
    assert time.monotonic() - began >= 1.0


def test_an_update_fails_with_a_reason(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="fails", EndpointConfigName=put_model(aws, "fails-1", "x"))
    settle(sagemaker, "fails")
    aws.faults.add("fail", "fails", state="Updating", reason="CapacityError: none left")
    sagemaker.update_endpoint(EndpointName="fails", EndpointConfigName=put_model(aws, "fails-2", "x"))
    described = settle(sagemaker, "fails")
    assert (described["EndpointConfigName"], described["FailureReason"]) == ("fails-1", "CapacityError: none left")


def once(aws: LocalAws, service: str, **key: str) -> Any:
    """A client that tries each call once."""
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        **(key or keys_of(aws)),
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ThrottlingException", 400),
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
        ("AccessDeniedException", 400),
    ],
)
@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("sagemaker", "ListEndpoints", {}),
        ("logs", "DescribeLogGroups", {}),
        ("s3", "S3:GET", {}),
        ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "none", "Body": b""}),
    ],
)
def test_any_service_s_operations_are_refused(
    aws: LocalAws, service: str, operation: str, call: dict[str, Any], error: str, status: int
) -> None:
    methods = {"ListEndpoints": "list_endpoints", "DescribeLogGroups": "describe_log_groups", "S3:GET": "list_buckets"}
    method = getattr(once(aws, service), methods.get(operation, "invoke_endpoint"))
    aws.faults.add("refuse", operation, error=error)
    with pytest.raises(ClientError) as failure:
        method(**call)
    answer = failure.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (error, status)


@pytest.mark.parametrize("error", ["drop", "cut"])
def test_a_connection_breaks_before_or_in_the_answer(aws: LocalAws, error: str) -> None:
    asked = signed(aws, "/", b"{}", **{"X-Amz-Target": "SageMaker.ListEndpoints"})
    aws.faults.add("refuse", "ListEndpoints", error=error)
    broken = http.client.IncompleteRead if error == "cut" else (http.client.HTTPException, OSError)
    with pytest.raises(broken), _DIRECT.open(asked) as answer:
        answer.read()
    with _DIRECT.open(asked) as answer:
        assert b"Endpoints" in answer.read()


def test_an_access_key_expires_until_it_is_renewed(aws: LocalAws) -> None:
    key = another_key(aws)
    aws.faults.add("expire", key["aws_access_key_id"])
    for _ in range(2):
        with pytest.raises(ClientError, match="expired"):
            once(aws, "sagemaker", **key).list_endpoints()
    client(aws, "sagemaker").list_endpoints()
    aws.faults.clear()
    once(aws, "sagemaker", **key).list_endpoints()


def control(aws: LocalAws, method: str, content: Any = None) -> dict[str, Any]:
    body = None if content is None else (content if isinstance(content, bytes) else json.dumps(content).encode())
    with _DIRECT.open(signed(aws, "/_faults", body, method)) as answer:
        listed: dict[str, Any] = json.loads(answer.read())
    return listed


def test_faults_over_http(aws: LocalAws) -> None:
    fault = {"kind": "interrupt", "name": "ncf-train", "times": 2, "after": 1.5}
    assert control(aws, "POST", fault) == {"faults": [fault]}
    assert control(aws, "GET") == {"faults": [fault]}
    assert control(aws, "DELETE") == {"faults": []}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "explode", "name": "x"}, "kind: .*'interrupt'"),
        ({"kind": "fail"}, "name: Field required"),
        ({"kind": "fail", "name": "x", "when": 1}, "when: .*after_line"),
        ({"kind": "fail", "name": "x", "times": 0}, "times: .*greater than or equal to 1"),
        ({"kind": "fail", "name": "x", "after_line": "("}, "after_line: "),
        (b"{", "expected a JSON object"),
    ],
)
def test_a_fault_that_makes_no_sense_is_named(aws: LocalAws, content: Any, words: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        control(aws, "POST", content)
    message = json.loads(failure.value.read())["message"]
    assert pytest.approx(failure.value.code) == 400
    assert re.search(words, message), message


@pytest.mark.parametrize("error", ["", "A\r\nSet-Cookie: b", "<b>", "A\n"])
def test_an_error_code_that_no_header_can_hold_is_refused(aws: LocalAws, error: str) -> None:
    with pytest.raises(ApiError, match="error: String should match pattern"):
        aws.faults.add("refuse", "DescribeEndpoint", error=error)
