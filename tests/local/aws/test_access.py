"""The stand-in answers its own clients alone: not others on this machine, and no web page."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from local_jobs import ROLE, another_key, client, keys_of, put_model, request, signed

from components.local.aws import LocalAws, server
from components.local.aws.errors import ApiError
from components.local.aws.keys import AccessKey

TARGET = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
JOB = json.dumps(request("of-a-stranger")).encode()


def answer(aws: LocalAws, asked: urllib.request.Request, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer to a request, which gets further headers after it was signed."""
    url = urlsplit(asked.full_url)
    assert url.hostname is not None
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    try:
        body = asked.data if isinstance(asked.data, bytes) else None
        connection.request(asked.get_method(), asked.selector, body, {**dict(asked.header_items()), **headers})
        got = connection.getresponse()
        return got.status, got.read(), dict(got.getheaders())
    finally:
        connection.close()


def jobs(sagemaker: Any) -> list[str]:
    return [job["TrainingJobName"] for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Credential=local/20261128/us-east-1/sagemaker/aws4_request",
        "AWS4-HMAC-SHA256 Credential={id}/20261128/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=\udcff/1/2/3/aws4_request, SignedHeaders=host, Signature=0",
        "AWS {id}:c2VjcmV0",
    ],
)
@pytest.mark.parametrize("path", ["/", "/_faults", "/moto-api/data.json", "/moto-api/reset", "/bucket/data/a"])
def test_a_request_without_a_signature_of_the_run_is_refused(
    aws: LocalAws, sagemaker: Any, authorization: str, path: str
) -> None:
    given = authorization.replace("{id}", keys_of(aws)["aws_access_key_id"])
    headers = {**TARGET, "Authorization": given.encode(errors="surrogateescape").decode("latin-1")}
    status, body, got = answer(aws, urllib.request.Request(f"{aws.endpoint_url}{path}", JOB, headers, method="POST"))
    assert status == 403
    assert b"InvalidClientTokenId" in body or b"SignatureDoesNotMatch" in body
    assert got["Connection"] == "close"
    assert "of-a-stranger" not in jobs(sagemaker)
    assert client(aws, "s3").list_buckets()["Buckets"], "nothing was reset"


@pytest.mark.parametrize("part", ["body", "path", "query", "method", "header"])
def test_a_request_that_was_changed_after_it_was_signed_is_refused(aws: LocalAws, sagemaker: Any, part: str) -> None:
    asked = signed(aws, "/?a=1", JOB, **TARGET)
    if part == "body":
        asked = urllib.request.Request(asked.full_url, JOB.replace(b"stranger", b"STRANGER"), asked.headers)
    elif part == "path":
        asked = urllib.request.Request(asked.full_url.replace("/?", "/x?"), JOB, asked.headers)
    elif part == "query":
        asked = urllib.request.Request(f"{asked.full_url}&b=2", JOB, asked.headers)
    elif part == "method":
        asked.method = "PUT"
    else:
        asked.headers["X-amz-target"] = "SageMaker.StopTrainingJob"
    status, body, _ = answer(aws, asked)
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    assert "of-a-stranger" not in jobs(sagemaker)


def test_the_key_alone_does_not_suffice(aws: LocalAws) -> None:
    guessed = {**keys_of(aws), "aws_secret_access_key": "local"}
    for service, call in (("s3", "list_buckets"), ("sagemaker", "list_endpoints"), ("sts", "get_caller_identity")):
        other = boto3.client(service, endpoint_url=aws.endpoint_url, region_name="us-east-1", **guessed)
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            getattr(other, call)()


def test_each_stand_in_has_a_key_of_its_own(aws: LocalAws, random_key: Callable[[], AccessKey]) -> None:
    keys = [random_key() for _ in range(100)]
    assert len({key.id for key in keys} | {key.secret for key in keys}) == 200
    assert aws.environment["AWS_SECRET_ACCESS_KEY"] != "local"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8888"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/_faults", "/moto-api/reset"])
def test_a_web_page_is_refused_even_with_a_signature(aws: LocalAws, headers: dict[str, str], path: str) -> None:
    status, body, got = answer(aws, signed(aws, path, b"{}", **TARGET), **headers)
    assert (status, b"AccessDenied" in body) == (403, True)
    assert not [name for name in got if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/", "/_faults", "/bucket/data/a", "/moto-api/reset", "/endpoints/e/invocations"])
def test_a_preflight_is_not_answered(aws: LocalAws, path: str) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for headers in (asked, {}):
        status, _, got = answer(aws, urllib.request.Request(f"{aws.endpoint_url}{path}", method="OPTIONS"), **headers)
        assert status == 403
        assert not [name for name in got if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 5000, "1_0"])
def test_a_length_that_is_none_is_not_waited_for(aws: LocalAws, length: str) -> None:
    for method in ("POST", "PUT"):
        asked = urllib.request.Request(f"{aws.endpoint_url}/bucket/x", method=method)
        assert answer(aws, asked, **{"Content-Length": length})[0] == 403


def test_a_presigned_url_of_no_time_is_refused(aws: LocalAws) -> None:
    for seconds in ("9" * 5000, "-1", "x", "٣"):
        url = f"{aws.endpoint_url}/bucket/data/a?" + urlencode(
            {"X-Amz-Credential": "a/20261128/us-east-1/s3/aws4_request", "X-Amz-Expires": seconds}
        )
        status, body, _ = answer(aws, urllib.request.Request(url))
        assert (status, b"InvalidClientTokenId" in body) == (403, True)


@pytest.mark.parametrize("size", [0, 100, 20 << 20])
def test_a_refused_upload_gets_its_answer(aws: LocalAws, size: int) -> None:
    headers = {**keys_of(aws), "aws_access_key_id": "SOMEBODY-ELSE"}
    other = boto3.client("s3", endpoint_url=aws.endpoint_url, region_name="us-east-1", **headers)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        other.put_object(Bucket="bucket", Key="stranger", Body=b"x" * size)


@pytest.mark.parametrize(
    "key", ["plain", "with space", "ü/ö", "a+b=c&d", "~-_.!*'()", "a//b", "a/./b", "100%", "a:b@c;d,e"]
)
def test_any_key_of_an_object_can_be_signed(aws: LocalAws, key: str) -> None:
    s3 = client(aws, "s3")
    s3.put_object(Bucket="bucket", Key=f"odd/{key}", Body=b"1", Metadata={"some": "thing"})
    assert s3.get_object(Bucket="bucket", Key=f"odd/{key}")["Body"].read() == b"1"
    listed = s3.list_objects_v2(Bucket="bucket", Prefix=f"odd/{key}")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"odd/{key}"]
    s3.delete_object(Bucket="bucket", Key=f"odd/{key}")


def presigning(aws: LocalAws, **key: str) -> Any:
    config = Config(signature_version="s3v4")
    return boto3.client(
        "s3", endpoint_url=aws.endpoint_url, region_name="us-east-1", config=config, **(key or keys_of(aws))
    )


def test_a_presigned_url_holds_for_its_object_and_time(aws: LocalAws) -> None:
    def url(seconds: int) -> str:
        given: str = presigning(aws).generate_presigned_url(
            "get_object", {"Bucket": "bucket", "Key": "data/a"}, seconds
        )
        return given

    assert answer(aws, urllib.request.Request(url(60)))[:2] == (200, b"1")
    assert answer(aws, urllib.request.Request(url(60).replace("data/a", "data/b")))[0] == 403
    assert answer(aws, urllib.request.Request(url(60).replace("X-Amz-Expires=60", "X-Amz-Expires=6000")))[0] == 403
    status, body, _ = answer(aws, urllib.request.Request(url(-1)))
    assert (status, b"InvalidClientTokenId" in body) == (403, True)
    status, body, _ = answer(aws, urllib.request.Request(url(0)))
    assert (status, b"expired" in body) == (403, True)


@pytest.mark.parametrize("operation", ["get_object", "put_object"])
def test_a_signature_of_s3_runs_no_operation_of_another_service(aws: LocalAws, sagemaker: Any, operation: str) -> None:
    """The header that names the operation is not part of a presigned URL, and its body is not signed."""
    url = presigning(aws).generate_presigned_url(operation, {"Bucket": "bucket", "Key": "data/a"}, 60)
    asked = urllib.request.Request(
        url, json.dumps(request("by-a-url")).encode(), method="GET" if operation == "get_object" else "PUT"
    )
    target = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
    assert answer(aws, asked, **target)[0] == 403
    assert "by-a-url" not in jobs(sagemaker)


@pytest.mark.parametrize(("minutes", "status"), [(-20, 403), (-10, 200), (10, 200), (20, 403)])
def test_a_signature_holds_for_a_quarter_of_an_hour(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch, minutes: int, status: int
) -> None:
    made = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: made.replace(tzinfo=None))
    headers = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Content-Type": "application/x-amz-json-1.1"}
    assert answer(aws, signed(aws, "/", b"{}", **headers))[0] == status


def test_a_target_that_is_no_url_is_refused_without_a_traceback(
    aws: LocalAws, capfd: pytest.CaptureFixture[str]
) -> None:
    url = urlsplit(aws.endpoint_url)
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=5) as connection:
        connection.sendall(b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 400 " in connection.recv(1000).partition(b"\r\n")[0]
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_sends_nothing_is_closed(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws._server.RequestHandlerClass.timeout == 60
    monkeypatch.setattr(aws._server.RequestHandlerClass, "timeout", 0.1)
    url = urlsplit(aws.endpoint_url)
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=5) as connection:
        assert connection.recv(1) == b""


def test_uploads_in_parts_and_in_chunks_are_accepted(aws: LocalAws) -> None:
    s3 = client(aws, "s3")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    sent = {"Bucket": "bucket", "Key": "parts", "UploadId": upload}
    part = s3.upload_part(**sent, PartNumber=1, Body=b"x" * 100, ChecksumAlgorithm="SHA256")
    parts = [{"ETag": part["ETag"], "PartNumber": 1}]
    s3.complete_multipart_upload(**sent, MultipartUpload={"Parts": parts})
    unsigned = presigning(aws)
    unsigned.meta.config.s3 = {"payload_signing_enabled": False}
    unsigned.put_object(Bucket="bucket", Key="unsigned", Body=b"2")
    assert s3.get_object(Bucket="bucket", Key="parts")["ContentLength"] == 100
    for key in ("parts", "unsigned"):
        s3.delete_object(Bucket="bucket", Key=key)


def test_keys_that_the_stand_in_has_given_out_are_accepted(aws: LocalAws) -> None:
    role = client(aws, "sts").assume_role(RoleArn=ROLE, RoleSessionName="ncf")["Credentials"]
    assumed = {
        "aws_access_key_id": role["AccessKeyId"],
        "aws_secret_access_key": role["SecretAccessKey"],
        "aws_session_token": role["SessionToken"],
    }
    for key in (assumed, another_key(aws)):
        assert presigning(aws, **key).list_buckets()["Buckets"]
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            presigning(aws, **{**key, "aws_secret_access_key": "guessed"}).list_buckets()


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONBREAKPOINT", "BASH_ENV", "ENV"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH", "GLIBC_TUNABLES", "HOME", "IFS"),
        *("OPENSSL_CONF", "CXX", "TORCHINDUCTOR_CACHE_DIR", "OMP_TOOL_LIBRARIES", "NCCL_NET_PLUGIN", "TMPDIR"),
        *("AWS_ENDPOINT_URL", "HTTPS_PROXY", "NCF_ML_ROOT", "NCF_PORT", "NCF_HOST", "NCF_PAGE", "ncf_x"),
    ],
)
def test_a_variable_that_could_change_what_runs_is_refused(aws: LocalAws, sagemaker: Any, name: str) -> None:
    given = {"NCF_FINE": "1", name: "/tmp/x"}
    with pytest.raises(ClientError, match=f"'{name}' is not accepted"):
        sagemaker.create_training_job(**request("with-variables", Environment=given))
    container = {"Image": "r.example/ncf-deploy:1.0", "Environment": given}
    with pytest.raises(ClientError, match=f"'{name}' is not accepted"):
        sagemaker.create_model(ModelName="with-variables", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    with pytest.raises(ClientError, match=f"'{name}' is not accepted"):
        sagemaker.create_model(ModelName="with-variables", ExecutionRoleArn=ROLE, Containers=[container])
    with pytest.raises(ClientError, match=f"'{name}' is not accepted"):
        sagemaker.create_transform_job(
            TransformJobName="with-variables",
            ModelName=put_model(aws, "transforms", "x"),
            Environment=given,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data"}}},
            TransformOutput={"S3OutputPath": "s3://bucket/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
    assert "with-variables" not in jobs(sagemaker)
    sagemaker.delete_model(ModelName="transforms")
    sagemaker.delete_endpoint_config(EndpointConfigName="transforms")


@pytest.mark.parametrize("target", ["SageMaker.CreateTrainingJob", "ResourceGroupsTaggingAPI_20170126.GetResources"])
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000], ids=["open", "list", "1", "UTF-8", "deep"]
)
def test_a_body_that_is_no_json_object_is_refused(aws: LocalAws, target: str, body: bytes) -> None:
    status, found, _ = answer(aws, signed(aws, "/", body, **{**TARGET, "X-Amz-Target": target}))
    assert (status, json.loads(found)["__type"]) == (400, "SerializationException")


def test_an_error_in_xml_is_escaped() -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": "text/xml"}
    (body,) = server._fail(ApiError("A&B", "</Message><b>&"), environ, lambda *_: None)
    found = ElementTree.fromstring(body)
    assert (found.findtext(".//Code"), found.findtext(".//Message")) == ("A&B", "</Message><b>&")
