"""The deploy stage with model packages, against an AWS account on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from local_account import BUCKET, ROLE, local_account
from model_packages import clients, new_group, new_package
from random_model import random_model

from ncf.aws.names import DEPLOYED_TAG, PACKAGE_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.sagemaker.registry import package as registry
from ncf.sagemaker.registry.properties import DECIDED_BY, ENDPOINT
from ncf.sagemaker.staging import Staging
from ncf.stage import command, execution
from ncf.stages.deploy import Deploy
from ncf.storage import upload

APPROVED, PENDING, REJECTED = registry.APPROVED, registry.PENDING, registry.REJECTED


class KilledError(BaseException):
    """The end of a pod by SIGKILL: nothing handles it."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def aws(account: Any) -> Aws:
    return clients()


@pytest.fixture
def name(tmp_path: Path) -> str:
    """Name of the endpoint of the test, and of the group of its packages."""
    return f"shop-{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}"


@pytest.fixture
def release(account: Any, name: str, tmp_path: Path) -> Callable[..., str]:
    """Deploys a package to the endpoint of the test, and returns its summary."""

    def run(package: str, run_id: str, *more: str) -> str:
        outputs = {name: tmp_path / run_id / name for name in ("endpoint", "summary", "metrics")}
        flags = {
            "package": package,
            "role": ROLE,
            "deploy-image": "registry/another:1",
            "endpoint-name": name,
            "run-id": run_id,
            "bake-time": 0,
            **outputs,
        }
        execution.run(Deploy, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])
        return outputs["summary"].read_text()

    return run


@pytest.fixture
def package(aws: Aws, name: str, tmp_path: Path) -> Callable[..., str]:
    """Registers a model; the ARN of its package. The group is that of the test."""
    group = new_group(aws, name)

    def register(
        seed: int, status: str = APPROVED, archive: bool = False, errs: bool = False, **properties: str
    ) -> str:
        folder, prefix = tmp_path / f"model-{seed}", f"s3://{BUCKET}/{name}"
        replace(random_model(seed=seed), history={"broken": False, "errs": errs}).save(folder, {}, {})
        staging = Staging(prefix, f"model-{seed}")
        container: dict[str, Any] = {"Image": "registry/ncf-deploy:1"}
        if archive:
            staging.upload_archive("model", folder)
            container["ModelDataUrl"] = staging.archive_uri("model")
        else:
            uri = staging.uri("model", str(folder))
            upload(folder, uri)
            source = {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            container["ModelDataSource"] = {"S3DataSource": source}
        specification = {"Containers": [container], "SupportedContentTypes": ["application/json"]}
        given = {f"ncf:{name}": value for name, value in properties.items()}
        more = {"CustomerMetadataProperties": given} if given else {}
        return new_package(aws, group, status, InferenceSpecification=specification, **more)

    return register


def decide(aws: Aws, arn: str, status: str) -> None:
    registry.set_status(aws, found(aws, arn), status, "decided by the test", {DECIDED_BY: "tester"})


def found(aws: Aws, arn: str) -> registry.Package:
    package = registry.describe(aws, arn)
    assert package
    return package


def served(aws: Aws, endpoint: str) -> str:
    """The package in service: tag of the config; it must be that of the endpoint, too, and of no other package."""
    state = aws.call("sagemaker", "describe_endpoint", EndpointName=endpoint)
    config = aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
    arn = tags_of(aws, config["EndpointConfigArn"])[PACKAGE_TAG]
    assert tags_of(aws, state["EndpointArn"])[PACKAGE_TAG] == arn
    marked = [package.arn for package in registry.packages(aws, endpoint) if package.properties.get(ENDPOINT)]
    assert marked == [arn]
    return arn


def changes(aws_calls: list[str]) -> list[str]:
    return [name for name in aws_calls if not name.startswith(("describe_", "list_", "get_", "invoke_"))]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Operations of all calls."""
    made: list[str] = []
    call = Aws.call

    def noted(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        made.append(operation)
        return call(self, service, operation, *given, **request)

    monkeypatch.setattr(Aws, "call", noted)
    return made


def kill_after(number: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kill the pod after a number of changes; those that it has made."""
    made: list[str] = []
    call = Aws.call

    def dying(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        made.extend(changes([operation]))
        if changes([operation]) and len(made) == number:
            raise KilledError(operation)
        return answer

    monkeypatch.setattr(Aws, "call", dying)
    return made


def test_endpoint_model_config_and_package_name_each_other(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str
) -> None:
    first, second = package(1), package(2)
    assert f"{name} version 1" in release(first, "run-1")
    assert served(aws, name) == first
    assert registry.live_package(aws, name) == found(aws, first)
    state = aws.call("sagemaker", "describe_endpoint", EndpointName=name)
    model = aws.call("sagemaker", "describe_model", ModelName=state["EndpointConfigName"])
    assert model["PrimaryContainer"] == {"ModelPackageName": first}
    assert tags_of(aws, model["ModelArn"])[PACKAGE_TAG] == first

    release(f"{name}/2", "run-2")
    assert served(aws, name) == second

    release(second, "run-2")  # a retry of a pod whose end did not reach KFP
    assert aws.call("sagemaker", "describe_endpoint", EndpointName=name)["EndpointConfigName"] != model["ModelName"]
    assert served(aws, name) == second


@pytest.mark.parametrize(
    ("status", "properties", "said"),
    [
        (PENDING, {}, r"version 1 is PendingManualApproval, .*; 'ncf approve \S+/1' approves it"),
        (REJECTED, {}, "version 1 is Rejected"),
        (APPROVED, {"release": "never"}, "version 1 is a record of a run with 'release' = never"),
    ],
)
def test_what_is_not_approved_is_refused_by_name_before_any_change(
    status: str,
    properties: dict[str, str],
    said: str,
    package: Callable[..., str],
    release: Callable[..., str],
    calls: list[str],
) -> None:
    arn = package(3, status, **properties)
    calls.clear()
    with pytest.raises(InputError, match=f"parameter 'package': .*{said}"):
        release(arn, "run-1")
    assert changes(calls) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shop", "expected the ARN of a model package version, or GROUP/VERSION"),
        ("nowhere/1", "there is no model package"),
    ],
)
def test_a_package_that_is_none_is_refused(given: str, said: str, release: Callable[..., str]) -> None:
    with pytest.raises(InputError, match=said):
        release(given, "run-1")


def test_an_approval_that_is_withdrawn_during_the_deployment_undoes_it(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str
) -> None:
    first, second = package(4), package(5)
    test = SmokeTest.run

    def withdrawn(self: SmokeTest, clients: Aws, endpoint: str) -> float:
        decide(aws, second, REJECTED)
        return test(self, clients, endpoint)

    with patch.object(SmokeTest, "run", withdrawn), pytest.raises(InputError, match="version 2 is Rejected"):
        release(second, "run-0")
    assert aws.find("sagemaker", "describe_endpoint", EndpointName=name) is None, "it did not exist before"

    decide(aws, second, APPROVED)
    release(first, "run-1")
    with patch.object(SmokeTest, "run", withdrawn), pytest.raises(InputError, match="version 2 is Rejected"):
        release(second, "run-2")
    assert served(aws, name) == first


@pytest.mark.slow
def test_whenever_the_pod_is_killed_the_retry_ends_as_one_that_was_not_killed(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the approval is withdrawn between the tries: then the package before serves."""
    first = package(6)
    release(first, "first")
    for after in range(1, 60):
        asked, run = package(6 + after), f"run-{after}"
        live = served(aws, name)
        with monkeypatch.context() as patched:
            made = kill_after(after, patched)
            try:
                release(asked, run)
                break
            except KilledError:
                pass
        if after % 2:
            decide(aws, asked, REJECTED)
            with pytest.raises(InputError, match="is Rejected"):
                release(asked, run)
            if served(aws, name) == asked:  # the try that was killed had completed it
                state = aws.call("sagemaker", "describe_endpoint", EndpointName=name)
                assert tags_of(aws, state["EndpointArn"])[DEPLOYED_TAG] == state["EndpointConfigName"]
                Endpoint(aws, name).roll_back(60)
            assert served(aws, name) == live, f"after {made}"
            decide(aws, asked, APPROVED)
        release(asked, run)
        assert served(aws, name) == asked, f"after {made}"
    assert after > 6


def test_a_rollback_goes_to_the_version_approved_before_and_names_it(
    aws: Aws,
    package: Callable[..., str],
    release: Callable[..., str],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arns = [package(seed) for seed in (80, 81, 82)]
    for number, arn in enumerate(arns):
        release(arn, f"run-{number}")
    decide(aws, arns[1], REJECTED)
    command.main(["rollback", name])
    printed = capsys.readouterr().out
    assert f"skipped: {name} version 2 is Rejected" in printed
    assert f", {name} version 1 again, in place of" in printed
    assert served(aws, name) == arns[0]
    decide(aws, arns[1], APPROVED)
    release(arns[1], "run-4")
    for arn in (arns[0], arns[2]):
        decide(aws, arn, REJECTED)
    with pytest.raises(InputError, match="no older config may be served: .*version 1 is Rejected"):
        Endpoint(aws, name).roll_back(60)
    assert served(aws, name) == arns[1]


def test_a_model_without_a_package_takes_the_endpoint_from_one(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str, tmp_path: Path
) -> None:
    arn = package(90)
    release(arn, "run-1")
    random_model(seed=91).save(tmp_path / "plain", {}, {})
    outputs = [f"--{output}={tmp_path / 'plain-run' / output}" for output in ("endpoint", "summary", "metrics")]
    flags = [f"--model={tmp_path}/plain", f"--role={ROLE}", f"--endpoint-name={name}", "--bake-time=0"]
    more = ["--deploy-image=registry/ncf-deploy:1", f"--s3-prefix=s3://{BUCKET}/plain"]
    execution.run(Deploy, [*flags, *more, *outputs])
    assert not found(aws, arn).properties.get(ENDPOINT)
    assert registry.live_package(aws, name) is None
    rollback = Endpoint(aws, name).roll_back(60)
    assert rollback.package
    assert rollback.package.arn == arn
    assert served(aws, name) == arn


def test_a_serverless_endpoint_needs_an_archive(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str
) -> None:
    flags = ("--serverless-memory", "2048", "--network-isolation", "false", "--s3-prefix", f"s3://{BUCKET}/x")
    with pytest.raises(InputError, match="'serverless_memory' is 2048: the model of .* version 1 is not an archive"):
        release(package(95), "run-1", *flags)
    arn = package(96, archive=True)
    release(arn, "run-2", *flags)
    assert served(aws, name) == arn


def test_a_package_whose_model_fails_the_smoke_test_leaves_the_one_before(
    aws: Aws, package: Callable[..., str], release: Callable[..., str], name: str
) -> None:
    first, bad = package(97), package(98, errs=True)
    release(first, "run-1")
    with pytest.raises(RemoteError):
        release(bad, "run-2")
    assert served(aws, name) == first


def test_another_image_than_the_package_s_is_refused(release: Callable[..., str]) -> None:
    with pytest.raises(InputError, match="'package' has an image of its own"):
        release("shop/1", "run-1", "--deploy-overrides", '{"deploy_image": "r/other:1"}')
