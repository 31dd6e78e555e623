"""An AWS account and a KFP server for the doctor to look at."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from botocore.stub import Stubber

from ncf.aws.manifests import DOCKER_MANIFEST
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess

ACCOUNT, OTHER_ACCOUNT, REGION = "123456789012", "210987654321", "us-east-1"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/me"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/ncf"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DIGEST = "sha256:" + "0" * 64
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
LOGIN_PAGE = "<!DOCTYPE html><title>Log in to Your Account</title>"


class Account:
    """An AWS account whose answers are checked against AWS's service models.

    Attributes:
        answers: to each operation: its answers, in turn, or what it is refused with.
        requests: what was asked for, by operation.
        accesses: where and as whom AWS was called.
    """

    SERVICES = {
        "get_caller_identity": "sts",
        "get_role": "iam",
        "head_bucket": "s3",
        "describe_images": "ecr",
        "batch_get_image": "ecr",
        "get_download_url_for_layer": "ecr",
        "list_service_quotas": "service-quotas",
    }

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "get_caller_identity": {"Account": ACCOUNT, "Arn": CALLER, "UserId": "AIDA"},
            "get_role": role_with({"Version": "2012-10-17", "Statement": [TRUST]}),
            "head_bucket": {"BucketRegion": REGION},
            "describe_images": {"imageDetails": [{"imageDigest": DIGEST, "imageManifestMediaType": DOCKER_MANIFEST}]},
            "batch_get_image": {"images": [{"imageManifest": json.dumps({"config": {"digest": DIGEST}})}]},
            "get_download_url_for_layer": {"downloadUrl": image_config("amd64"), "layerDigest": DIGEST},
            "list_service_quotas": quotas(),
        }
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.accesses: list[AwsAccess] = []

    def refuse(self, operation: str, code: str, message: str = "", region: str = "") -> None:
        headers = {"x-amz-bucket-region": region} if region else {}
        status = int(code) if code.isdigit() else 400
        self.answers[operation] = lambda: {
            "service_error_code": code,
            "service_message": message,
            "http_status_code": status,
            "response_meta": {"HTTPHeaders": headers},
        }

    def open(self, access: AwsAccess) -> Aws:
        self.accesses.append(access)
        aws = Aws(AwsAccess(region=access.region))
        call = aws.call

        def stubbed(service: str, operation: str, **request: Any) -> dict[str, Any]:
            assert self.SERVICES[operation] == service
            asked = self.requests.setdefault(operation, [])
            asked.append({key: value for key, value in request.items() if key != "patience"})
            answers = self.answers[operation]
            if isinstance(answers, Exception):
                raise answers
            with Stubber(aws.client(service)) as stubber:
                if callable(answers):
                    stubber.add_client_error(operation, **answers())
                else:
                    listed = answers if isinstance(answers, list) else [answers]
                    answer = listed[(len(asked) - 1) % len(listed)]
                    stubber.add_response(operation, deepcopy(answer))  # botocore decodes policies in place
                return call(service, operation, **request)

        aws.call = stubbed
        return aws


def image_config(architecture: str) -> str:
    """URL of an image's configuration."""
    return f"data:application/json,{json.dumps({'architecture': architecture, 'os': 'linux'})}"


def role_with(policy: Any) -> dict[str, Any]:
    text = policy if isinstance(policy, str) else json.dumps(policy)
    return {
        "Role": {
            "Path": "/service-role/",
            "RoleName": "ncf",
            "RoleId": "AROA1234567890123",
            "Arn": ROLE,
            "CreateDate": "2026-01-01",
            "AssumeRolePolicyDocument": text,
        }
    }


def quotas() -> list[dict[str, Any]]:
    """Two pages of quotas; 2 of each."""
    names = {
        "train": "ml.g5.xlarge for training job usage",
        "spot": "ml.g5.xlarge for spot training job usage",
        "host": "ml.m5.large for endpoint usage",
    }
    entries = [{"QuotaName": name, "QuotaCode": f"L-{key.upper()}", "Value": 2.0} for key, name in names.items()]
    return [{"Quotas": entries[:1], "NextToken": "more"}, {"Quotas": entries[1:]}]


@contextmanager
def kfp(answer: Callable[[str], tuple[int, str]]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each path so, its URL, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answer(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
