"""One package for each run: pods that are tried again, killed after any call, throttled, or two at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from model_packages import clients, registry_account
from registrations import record

from components.local.aws import LocalAws
from ncf.aws import namespace
from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.registry import registration
from ncf.sagemaker.registry.names import APPROVED, REJECTED
from ncf.sagemaker.registry.package import Package, packages
from ncf.sagemaker.registry.registration import register


class KilledError(BaseException):
    """The end of a process by SIGKILL: nothing handles it."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with registry_account(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def aws(local: LocalAws) -> Iterator[Aws]:
    yield clients()
    assert local.faults.coming() == []


def nothing() -> None:
    """No upload."""


def versions(aws: Aws, group: str) -> list[tuple[str, str]]:
    return [(package.run, package.status) for package in packages(aws, group)]


def test_a_run_has_one_package_and_another_run_the_next(aws: Aws) -> None:
    first = register(aws, record("one"), nothing)
    assert (first.name, first.status, first.run) == ("one version 1", APPROVED, "run-1")
    uploads: list[int] = []
    assert register(aws, record("one"), lambda: uploads.append(1)) == first
    assert uploads == [], "what is registered is in S3 already"
    second = register(aws, record("one", "run-2", "too low"), lambda: uploads.append(1))
    assert (second.version, second.status, uploads) == (2, REJECTED, [1])


def test_a_run_whose_name_begins_like_another_one_is_another_one(aws: Aws) -> None:
    register(aws, record("alike", "run; x"), nothing)
    assert register(aws, record("alike", "run"), nothing).version == 2


def test_the_package_of_a_run_is_found_long_after_its_token(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    first = register(aws, record("old"), nothing)
    monkeypatch.setattr("ncf.sagemaker.registry.record.Record.token", "another")
    assert register(aws, record("old"), nothing) == first


def test_a_list_that_lags_makes_no_second_package(aws: Aws, local: LocalAws) -> None:
    first = register(aws, record("lagging"), nothing)
    local.faults.add("late", "ListModelPackages")
    assert register(aws, record("lagging"), nothing) == first


def test_a_package_that_was_deleted_is_named_before_long(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "CONSISTENCY_SECONDS", 0.1)
    monkeypatch.setattr(registration, "_COMPLETION_SECONDS", 0.1)
    first = register(aws, record("deleted"), nothing)
    aws.client("sagemaker").delete_model_package(ModelPackageName=first.arn)
    with pytest.raises(RemoteError, match=f"model package {first.arn} does not exist: it has been deleted.*new run"):
        register(aws, record("deleted"), nothing)


def test_a_new_group_and_a_new_package_are_waited_for(aws: Aws, local: LocalAws) -> None:
    local.faults.add("late", "CreateModelPackage", times=2)
    local.faults.add("late", "DescribeModelPackage", times=2)
    assert register(aws, record("late"), nothing).version == 1


@pytest.mark.parametrize("operation", ["ListModelPackages", "CreateModelPackageGroup", "CreateModelPackage"])
@pytest.mark.parametrize("error", ["ThrottlingException", "cut"])
def test_a_call_that_fails_is_repeated(aws: Aws, local: LocalAws, operation: str, error: str) -> None:
    group = f"{operation}-{error}"
    local.faults.add("refuse", operation, error=error, times=5)
    register(aws, record(group), nothing)
    assert versions(aws, group) == [("run-1", APPROVED)]


def test_a_pod_that_is_killed_after_any_call_leaves_one_package(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Aws.call
    for after in range(1, 20):
        group, calls = f"killed-{after}", []

        def dying(self: Aws, *given: Any, after: int = after, calls: list[Any] = calls, **request: Any) -> Any:
            try:
                return call(self, *given, **request)
            finally:
                calls.append(given)
                if len(calls) == after:
                    raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(Aws, "call", dying)
            try:
                register(aws, record(group), nothing)
            except KilledError:
                pass
            else:
                break
        register(aws, record(group), nothing)
        assert versions(aws, group) == [("run-1", APPROVED)], f"after {calls[-1]}"
    assert after > 4


def test_two_pods_at_once_make_one_package(aws: Aws) -> None:
    made: list[Package] = []
    begin = threading.Barrier(4)

    def pod() -> None:
        begin.wait()
        made.append(register(clients(), record("pods"), nothing))

    threads = [threading.Thread(target=pod) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {package.arn for package in made} == {made[0].arn}
    assert len(made) == 4
    assert versions(aws, "pods") == [("run-1", APPROVED)]


def test_a_conflict_with_another_pod_is_its_package(aws: Aws, local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    found = registration._of_run
    first = register(aws, record("conflict"), nothing)
    answers = ["", ""]
    monkeypatch.setattr(registration, "_of_run", lambda *given: answers.pop() if answers else found(*given))
    local.faults.add("refuse", "CreateModelPackage", error="ConflictException")
    assert register(aws, record("conflict"), nothing) == first


def test_a_conflict_without_a_package_is_an_error(aws: Aws, local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "CONSISTENCY_SECONDS", 0.05)
    local.faults.add("refuse", "CreateModelPackage", error="ConflictException")
    with pytest.raises(RefusedError, match="ConflictException"):
        register(aws, record("no-conflict"), nothing)


def test_a_package_that_fails_or_never_gets_ready_is_an_error(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    find = Aws.find
    state = {
        "ModelPackageStatus": "Failed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [{"FailureReason": "the image cannot be pulled"}]},
    }
    monkeypatch.setattr(
        Aws, "find", lambda self, *given, **request: (found := find(self, *given, **request)) and {**found, **state}
    )
    with pytest.raises(RemoteError, match=r"model package arn:.*/failing/1: the image cannot be pulled"):
        register(aws, record("failing"), nothing)
    state["ModelPackageStatus"] = "InProgress"
    monkeypatch.setattr(registration, "_COMPLETION_SECONDS", 0.01)
    with pytest.raises(RemoteError, match=r"/failing/1 is InProgress after 0 s"):
        register(aws, record("failing"), nothing)


def test_a_group_bears_the_namespace_of_its_pod(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "namespace").write_text("team-a")
    monkeypatch.setattr(namespace, "_FILE", tmp_path / "namespace")
    register(aws, record("of-team-a"), nothing)
    group = aws.call("sagemaker", "describe_model_package_group", ModelPackageGroupName="of-team-a")
    tags = aws.call("sagemaker", "list_tags", ResourceArn=group["ModelPackageGroupArn"])["Tags"]
    assert tags == [{"Key": "ncf:namespace", "Value": "team-a"}]


def test_other_refusals_are_raised(aws: Aws, local: LocalAws) -> None:
    for operation in (
        "ListModelPackages",
        "DescribeModelPackageGroup",
        "CreateModelPackageGroup",
        "CreateModelPackage",
    ):
        local.faults.add("refuse", operation, error="AccessDeniedException")
        with pytest.raises(RefusedError, match="AccessDenied"):
            register(aws, record("denied" if operation != "CreateModelPackage" else "denied-package"), nothing)
