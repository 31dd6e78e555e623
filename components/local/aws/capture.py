"""Data capture of an endpoint: records of requests and answers in S3."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from components.local.aws.services import Services
from ncf.storage import split_uri

_ENCODINGS: Mapping[str, str] = {"JSON": "JsonContentTypes", "CSV": "CsvContentTypes"}
"""Encoding of a body -> key of ``CaptureContentTypeHeader`` with its content types."""
_BASE64 = "BASE64"
Side = tuple[bytes, str]
"""Body and content type of a request or an answer."""


def write_record(
    services: Services, settings: Mapping[str, Any], endpoint: str, variant: str, asked: Side, answered: Side
) -> None:
    """Write a request and its answer to S3.

    Args:
        services: client of S3.
        settings: ``DataCaptureConfig`` of the endpoint config.
        endpoint: name of the endpoint.
        variant: name of the variant.
        asked: request.
        answered: answer.
    """
    now, event = datetime.now(UTC), str(uuid.uuid4())
    sides = {"Input": ("endpointInput", asked), "Output": ("endpointOutput", answered)}
    modes = [option["CaptureMode"] for option in settings["CaptureOptions"]]
    headers = settings.get("CaptureContentTypeHeader", {})
    record = {
        "captureData": {sides[mode][0]: _captured(mode, *sides[mode][1], headers) for mode in modes},
        "eventMetadata": {"eventId": event, "inferenceTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "eventVersion": "0",
    }
    bucket, prefix = split_uri(settings["DestinationS3Uri"])
    folder = f"{prefix}/{endpoint}/{variant}/{now:%Y/%m/%d/%H}"
    key = f"{folder}/{now:%M-%S-%f}-{event}.jsonl".lstrip("/")
    services.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(record).encode() + b"\n")


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``DataCaptureConfig`` in the answer of DescribeEndpoint."""
    return {
        "EnableCapture": settings["EnableCapture"],
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": settings["InitialSamplingPercentage"],
        "DestinationS3Uri": settings["DestinationS3Uri"],
        "KmsKeyId": settings.get("KmsKeyId", ""),
    }


def _captured(mode: str, content: bytes, content_type: str, headers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """A side of a record. Of a content type that the config does not list, the body is in base64.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CaptureContentTypeHeader.html
    """
    media = content_type.partition(";")[0].strip().lower()
    encoding = next((name for name, key in _ENCODINGS.items() if media in headers.get(key, ())), _BASE64)
    return {
        "observedContentType": content_type,
        "mode": mode.upper(),
        "data": base64.b64encode(content).decode() if encoding == _BASE64 else content.decode(errors="replace"),
        "encoding": encoding,
    }
