"""Lookups and lists: a resource that does not exist, and answers of several pages."""

from __future__ import annotations

from typing import Any

import pytest
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import RemoteError

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"


def test_a_resource_that_does_not_exist_is_none(aws: Aws, sagemaker: FakeSageMaker) -> None:
    assert aws.find("sagemaker", "describe_endpoint", EndpointName="shop") is None
    aws.delete("sagemaker", "delete_endpoint", EndpointName="shop")
    sagemaker.describes_until_end = 0
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName="config")
    assert (aws.find("sagemaker", "describe_endpoint", EndpointName="shop") or {})["EndpointConfigName"] == "config"
    aws.delete("sagemaker", "delete_endpoint", EndpointName="shop")
    assert sagemaker.endpoints == {}


def test_other_refusals_are_raised(aws: Aws, sagemaker: FakeSageMaker) -> None:
    for operation in ("DescribeEndpoint", "DeleteEndpoint"):
        sagemaker.refusals[operation] = RefusalError("AccessDeniedException", "no")
    with pytest.raises(RefusedError, match="AccessDenied"):
        aws.find("sagemaker", "describe_endpoint", EndpointName="shop")
    with pytest.raises(RefusedError, match="AccessDenied"):
        aws.delete("sagemaker", "delete_endpoint", EndpointName="shop")


def answer_in_pages(sagemaker: FakeSageMaker, last_token: str = "") -> list[dict[str, Any]]:
    """Have ListTags answer in two pages; the requests are noted."""
    requests: list[dict[str, Any]] = []

    def list_tags(**request: Any) -> dict[str, Any]:
        requests.append(request)
        if "NextToken" not in request:
            return {"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "page-2"}
        return {"Tags": [{"Key": "b", "Value": "2"}], **({"NextToken": last_token} if last_token else {})}

    sagemaker.ListTags = list_tags  # type: ignore[method-assign]
    return requests


def test_all_pages_are_read(aws: Aws, sagemaker: FakeSageMaker) -> None:
    requests = answer_in_pages(sagemaker)
    assert tags_of(aws, ARN) == {"a": "1", "b": "2"}
    assert [request.get("NextToken") for request in requests] == [None, "page-2"]


def test_each_page_is_retried_by_itself(aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture) -> None:
    requests = answer_in_pages(sagemaker)
    answer, failures = sagemaker.ListTags, [1, 1]

    def throttled(**request: Any) -> dict[str, Any]:
        if "NextToken" in request and failures:
            failures.pop()
            raise RefusalError("ThrottlingException", "Rate exceeded")
        return answer(**request)

    sagemaker.ListTags = throttled  # type: ignore[method-assign]
    assert tags_of(aws, ARN) == {"a": "1", "b": "2"}
    assert len(requests) == 2
    assert caplog.text.count("list_tags: ThrottlingException") == 2


def test_a_page_is_refused_as_a_call_is(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["ListTags"] = RefusalError("AccessDeniedException", "no")
    with pytest.raises(RefusedError, match="AccessDenied"):
        tags_of(aws, ARN)


def test_a_list_without_an_end_is_an_error(aws: Aws, sagemaker: FakeSageMaker) -> None:
    answer_in_pages(sagemaker, last_token="page-2")
    with pytest.raises(RemoteError, match="list_tags: .*same next token"):
        tags_of(aws, ARN)
