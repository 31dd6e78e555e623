"""Batch transform jobs really serve the model, and send it what SageMaker would."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import assert_shape, client, processes, put_model, wait

from components.local.aws import LocalAws
from components.local.aws.processes import wait_until

NAMES = (f"wishes-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def model(aws: LocalAws) -> str:
    return put_model(aws, "transformer", "m")


def request(name: str, model: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/in/"}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": "application/json",
            **changes.pop("TransformInput", {}),
        },
        "TransformOutput": {"S3OutputPath": f"s3://bucket/{name}/out", **changes.pop("TransformOutput", {})},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def finish(aws: LocalAws, name: str) -> dict[str, Any]:
    sagemaker = client(aws, "sagemaker")
    answer = wait(
        lambda: sagemaker.describe_transform_job(TransformJobName=name),
        "TransformJobStatus",
        ("InProgress", "Stopping"),
    )
    assert_shape(answer, sagemaker.meta.service_model.operation_model("DescribeTransformJob").output_shape)
    return answer


def transform(aws: LocalAws, given: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """The job at its end."""
    name = given["TransformJobName"]
    for key, content in files.items():
        client(aws, "s3").put_object(Bucket="bucket", Key=f"{name}/in/{key}", Body=content)
    client(aws, "sagemaker").create_transform_job(**given)
    return finish(aws, name)


def outputs(aws: LocalAws, name: str) -> dict[str, bytes]:
    s3 = client(aws, "s3")
    listed = s3.list_objects_v2(Bucket="bucket", Prefix=f"{name}/out/").get("Contents", [])
    keys = [entry["Key"] for entry in listed]
    return {key.removeprefix(f"{name}/out/"): s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}


def got(output: bytes) -> list[Any]:
    return [json.loads(line)["got"] for line in output.split(b"\n") if line]


def test_a_file_is_a_request_where_nothing_splits_it(aws: LocalAws, model: str) -> None:
    answer = transform(aws, request("whole", model), {"a.json": b"[1,\n2]", "deep/b.json": b"3"})
    assert answer["TransformJobStatus"] == "Completed"
    assert answer["TransformEndTime"] >= answer["TransformStartTime"] >= answer["CreationTime"]
    found = {key: json.loads(content)["got"] for key, content in outputs(aws, "whole").items()}
    assert found == {"a.json.out": [1, 2], "deep/b.json.out": 3}


def test_each_line_is_a_request_of_its_own(aws: LocalAws, model: str) -> None:
    given = request(
        "single",
        model,
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
        TransformInput={"SplitType": "Line"},
        TransformOutput={"AssembleWith": "Line"},
    )
    lines = b"".join(b"%d\n" % number for number in range(50))
    assert transform(aws, given, {"lines": lines, "windows": b"7\r\n\r\n8"})["TransformJobStatus"] == "Completed"
    found = outputs(aws, "single")
    assert got(found["lines.out"]) == list(range(50)), "in the order of the input"
    assert got(found["windows.out"]) == [7, 8]


@pytest.mark.parametrize("assemble", ["None", "Line"])
def test_as_many_lines_as_fit_go_together(aws: LocalAws, model: str, assemble: str) -> None:
    name = f"multi-{assemble.lower()}"
    given = request(
        name,
        model,
        MaxPayloadInMB=1,
        TransformInput={"SplitType": "Line", "CompressionType": "Gzip"},
        TransformOutput={"AssembleWith": assemble},
    )
    record = b'["' + b"x" * 400_000 + b'"]'
    lines = b"\n".join([record] * 2 + [b"[]"] + [record])  # a payload holds two records, not three
    # two records are no JSON value, but this program puts what it gets into its answer unread
    assert transform(aws, given, {"a.gz": gzip.compress(lines)})["TransformJobStatus"] == "Completed"
    content = outputs(aws, name)["a.gz.out"]
    asked = [record + b"\n" + record + b"\n[]", record]
    ends = b"\n" if assemble == "Line" else b""
    assert content == b"".join(b'{"model": "m", "got": %s}' % payload + ends for payload in asked)


def test_the_request_that_the_program_gets(aws: LocalAws, model: str) -> None:
    given = request(
        "request",
        model,
        Environment={"NCF_OF_THE_JOB": "yes"},
        MaxPayloadInMB=2,
        TransformInput={"ContentType": "application/jsonlines"},
        TransformOutput={"Accept": "text/csv"},
    )
    transform(aws, given, {"a": b'"environment"'})
    received = json.loads(outputs(aws, "request")["a.out"])["got"]
    headers = received.pop("headers")
    assert (headers["Content-Type"], headers["Accept"]) == ("application/jsonlines", "text/csv")
    assert received == {
        "NCF_OF_THE_JOB": "yes",
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "2",
    }, "what the request leaves open is not in it"
    assert wait_until(lambda: not processes(f"{aws.root}/transforms/request"), 5), "it is gone at the end"


@pytest.mark.parametrize(("strategy", "value"), [("SingleRecord", "SINGLE_RECORD"), ("MultiRecord", "MULTI_RECORD")])
def test_the_program_gets_the_strategy_in_its_own_words(aws: LocalAws, model: str, strategy: str, value: str) -> None:
    name = f"strategy-{strategy.lower()}"
    transform(aws, request(name, model, BatchStrategy=strategy, MaxConcurrentTransforms=3), {"a": b'"environment"'})
    answer = json.loads(outputs(aws, name)["a.out"])["got"]
    assert {key: value for key, value in answer.items() if key != "headers"} == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": value,
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
    }


@pytest.mark.parametrize(
    ("wishes", "asked", "payloads"),
    [
        ({"BatchStrategy": "SINGLE_RECORD"}, {}, [b"1", b"2", b"3"]),
        ({"BatchStrategy": "MULTI_RECORD"}, {}, [b"1\n2\n3"]),
        ({}, {}, [b"1\n2\n3"]),
        ({"BatchStrategy": "SINGLE_RECORD"}, {"BatchStrategy": "MultiRecord"}, [b"1\n2\n3"]),
        ({"BatchStrategy": "MULTI_RECORD"}, {"BatchStrategy": "SingleRecord"}, [b"1", b"2", b"3"]),
        # at most 100 MB under way: the container's one megabyte makes room for so many, SageMaker's six would not
        ({"MaxPayloadInMB": 1}, {"MaxConcurrentTransforms": 20}, [b"1\n2\n3"]),
        ({"MaxConcurrentTransforms": 50, "MaxPayloadInMB": 2}, {"MaxConcurrentTransforms": 0}, [b"1\n2\n3"]),
    ],
)
def test_what_the_request_leaves_open_the_program_chooses(
    aws: LocalAws, wishes: dict[str, Any], asked: dict[str, Any], payloads: list[bytes]
) -> None:
    name = next(NAMES)
    content = json.dumps({**wishes, "of": name})
    put_model(aws, name, content)
    given = request(name, name, TransformInput={"SplitType": "Line"}, **asked)
    answer = transform(aws, given, {"a": b"1\n2\n3\n"})
    assert answer["TransformJobStatus"] == "Completed", answer["FailureReason"]
    start = b'{"model": %s, "got": ' % json.dumps(content).encode()
    assert outputs(aws, name)["a.out"] == b"".join(start + payload + b"}" for payload in payloads)


@pytest.mark.parametrize(
    ("wishes", "asked", "reason"),
    [
        ({"MaxConcurrentTransforms": 64}, {}, r"ClientError: .* is 64 \* 6; at most 100 MB"),
        ({"MaxConcurrentTransforms": 8, "MaxPayloadInMB": 1}, {"MaxPayloadInMB": 20}, r"8 \* 20; at most 100 MB"),
        ({}, {"MaxConcurrentTransforms": 20}, r"20 \* 6; at most 100 MB"),
        ({"MaxConcurrentTransforms": "4"}, {}, "has '4' as MaxConcurrentTransforms; expected 1 to 100"),
        ({"MaxConcurrentTransforms": 0}, {}, "has 0 as MaxConcurrentTransforms"),
        ({"MaxPayloadInMB": -1}, {}, "has -1 as MaxPayloadInMB; expected 0 or more"),
        ({"BatchStrategy": "SingleRecord"}, {}, "has 'SingleRecord' as BatchStrategy; expected SINGLE_RECORD or"),
    ],
)
def test_what_the_program_cannot_have_fails_the_job(
    aws: LocalAws, wishes: dict[str, Any], asked: dict[str, Any], reason: str
) -> None:
    name = next(NAMES)
    put_model(aws, name, json.dumps(wishes))
    answer = transform(aws, request(name, name, **asked), {"a": b"1"})
    assert answer["TransformJobStatus"] == "Failed"
    assert re.search(reason, answer["FailureReason"]), answer["FailureReason"]


@pytest.mark.parametrize(
    ("name", "changes", "files", "reason"),
    [
        ("refused", {}, {"a": b'"bad"'}, r"AlgorithmError: refused/in/a: .*status 422"),
        ("nothing", {}, {}, r"ClientError: No S3 objects found under S3 URL 's3://bucket/nothing/in/'"),
        (
            "large",
            {"MaxPayloadInMB": 1},
            {"a": b" " * (1 << 20) + b"1"},
            "exceed MaxPayloadInMB, and SplitType is None",
        ),
        (
            "long-line",
            {"MaxPayloadInMB": 1, "TransformInput": {"SplitType": "Line"}},
            {"a": b"1\n" + b"2" * (1 << 21)},
            "a record of 2097152 bytes exceeds MaxPayloadInMB",
        ),
        ("no-gzip", {"TransformInput": {"CompressionType": "Gzip"}}, {"a": b"1"}, "cannot be unpacked as gzip"),
    ],
)
def test_what_fails_says_why(
    aws: LocalAws, model: str, name: str, changes: dict[str, Any], files: dict[str, bytes], reason: str
) -> None:
    answer = transform(aws, request(name, model, **changes), files)
    assert answer["TransformJobStatus"] == "Failed"
    assert re.search(reason, answer["FailureReason"]), answer["FailureReason"]
    assert outputs(aws, name) == {}


def test_a_failing_server_is_asked_again(aws: LocalAws) -> None:
    put_model(aws, "failing", "with an error")
    given = request("again", "failing", ModelClientConfig={"InvocationsMaxRetries": 1})
    assert "status 500" in transform(aws, given, {"a": b"1"})["FailureReason"]


def test_a_model_that_does_not_load_fails_the_job(aws: LocalAws) -> None:
    put_model(aws, "no-good", "crash")
    assert "the model is no good" in transform(aws, request("crashing", "no-good"), {"a": b"1"})["FailureReason"]


def test_a_job_can_be_stopped_and_its_name_is_taken(aws: LocalAws, model: str, sagemaker: Any) -> None:
    aws.faults.add("hold", "stopped", state="InProgress", seconds=60)
    client(aws, "s3").put_object(Bucket="bucket", Key="stopped/in/a", Body=b"1")
    sagemaker.create_transform_job(**request("stopped", model))
    with pytest.raises(ClientError, match="Transform job names must be unique") as taken:
        sagemaker.create_transform_job(**request("stopped", model))
    assert taken.value.response["Error"]["Code"] == "ResourceInUse"
    sagemaker.stop_transform_job(TransformJobName="stopped")
    assert finish(aws, "stopped")["TransformJobStatus"] == "Stopped"
    assert outputs(aws, "stopped") == {}
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName="stopped")
    listed = sagemaker.list_transform_jobs(StatusEquals="Stopped", NameContains="stop")["TransformJobSummaries"]
    assert [job["TransformJobName"] for job in listed] == ["stopped"]


def test_a_job_fails_as_a_fault_asks(aws: LocalAws, model: str) -> None:
    aws.faults.add("fail", "doomed", state="InProgress", reason="InternalServerError: no capacity")
    answer = transform(aws, request("doomed", model), {"a": b"1"})
    assert answer["FailureReason"] == "InternalServerError: no capacity"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "2 \\* 60; at most 100 MB"),
        ({"MaxPayloadInMB": 101}, "1 \\* 101; at most 100 MB"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "does not support the requested DataProcessing"),
        ({"TransformInput": {"SplitType": "RecordIO"}}, "does not support the requested SplitType"),
    ],
)
def test_what_cannot_be_is_refused_at_once(sagemaker: Any, model: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        sagemaker.create_transform_job(**request("impossible", model, **changes))
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_transform_job(TransformJobName="impossible")
