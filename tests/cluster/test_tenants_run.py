"""A whole run within a namespace: the role of its pods allows each call to SageMaker, on the very resource and tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from iam import ACCOUNT, STACK, Policy
from local_account import executor_input, local_account
from runs import deploy, left_behind, status, tags_of, train

from components.cluster.permissions import template
from ncf.aws import namespace
from ncf.aws.session import Aws
from ncf.operators.stop_jobs import StopJobs
from ncf.stage import execution
from ncf.stages.finish import Finish

KINDS = {
    "TrainingJobName": "training-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def calls(account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls to SageMaker so far, each of which IAM would allow a pod of team-a."""
    mounted = tmp_path / "namespace"
    mounted.write_text("team-a")
    monkeypatch.setattr(namespace, "_FILE", mounted)
    document = template()["Resources"]["PodRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    policy, made, call = Policy(document, {**ACCOUNT, **STACK}), [], Aws.call

    def evaluated(self: Aws, service: str, operation: str, patience: float | None = None, **request: Any) -> Any:
        name = self.client(service).meta.method_to_api_mapping[operation]
        if service in ("sagemaker", "sagemaker-runtime"):
            made.append(name)
            for arn in resources(request):
                context = tags(account, arn, request)
                assert policy.allows(f"sagemaker:{name}", arn, context), (name, arn, context)
        return call(self, service, operation, patience, **request)

    monkeypatch.setattr(Aws, "call", evaluated)
    return made


def resources(request: dict[str, Any]) -> list[str]:
    """ARNs of the resources that a call concerns."""
    named = [f"{kind}/{request[parameter]}" for parameter, kind in KINDS.items() if parameter in request]
    arns = [f"arn:aws:sagemaker:us-east-1:123456789012:{name}" for name in named]
    return [*arns, *filter(None, [request.get("ResourceArn")])]


def tags(account: Any, arn: str, request: dict[str, Any]) -> dict[str, Any]:
    """The tags of a call, as keys of a policy's condition."""
    held = {tag["Key"]: tag["Value"] for tag in account._api.tags._by_arn.get(arn, [])}
    given = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    keys = [*given, *request.get("TagKeys", [])]
    return {
        **{f"aws:ResourceTag/{key}": value for key, value in held.items()},
        **{f"aws:RequestTag/{key}": value for key, value in given.items()},
        **({"aws:TagKeys": keys} if keys else {}),
    }


def test_the_role_allows_a_run_its_calls_to_sagemaker(
    tmp_path: Path, make_dataset: Callable[..., Path], calls: list[str]
) -> None:
    train(tmp_path, make_dataset(), "run-1")
    for number in (1, 2):
        deploy(tmp_path, "ncf-tenant", f"run-{number}", number)
    flags = ["--run-id", "run-1", "--summary", str(tmp_path / "summary"), "--endpoint-name", "ncf-tenant"]
    execution.run(Finish, executor_input(Finish, flags, tmp_path, {"summary": "minio://root/ncf/run-1/summary"}))
    assert "training job ncf-train-" in (tmp_path / "summary").read_text(), "found by the tag of the namespace"
    assert {"CreateTrainingJob", "CreateEndpoint", "UpdateEndpoint", "InvokeEndpoint", "AddTags"} <= set(calls)


def test_a_job_of_another_namespace_is_neither_found_nor_stopped(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path], calls: list[str], capsys: Any
) -> None:
    with left_behind(account, tmp_path, make_dataset(), "run-3") as name:
        assert tags_of(name)["ncf:namespace"] == "team-a"
        (tmp_path / "namespace").write_text("team-b")
        execution.run(StopJobs, ["--older-than", "1m", "--dry-run", "false"])
        assert capsys.readouterr().out == "0 stopped\n"
        flags = ["--run-id", "run-3", "--summary", str(tmp_path / "summary")]
        execution.run(Finish, executor_input(Finish, flags, tmp_path, {"summary": "minio://root/ncf/run-3/summary"}))
        assert name not in (tmp_path / "summary").read_text()
        assert status(name) == "InProgress"
    assert "StopTrainingJob" not in calls
