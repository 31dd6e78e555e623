"""``ncf approve`` and ``ncf reject``: who, when and why stay with the package; Studio's button is enough, too."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from model_packages import (
    SOURCE,
    clients,
    endpoint_of_package,
    new_group,
    new_package,
    registry_account,
    specification,
)
from shop import KilledError, kill_after

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.operators.approve import Approve
from ncf.operators.reject import Reject
from ncf.sagemaker.hosting.packages import obstacle
from ncf.sagemaker.registry.approval import decide
from ncf.sagemaker.registry.decision import decision_of
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.sagemaker.registry.package import Package, describe
from ncf.sagemaker.registry.properties import DECIDED_AT, DECIDED_BY, GATE, OF_DECISION, RELEASE
from ncf.stage import execution
from ncf.stage.declaration import Stage


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with registry_account(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def aws(local: Any) -> Aws:
    return clients()


@pytest.fixture
def package(aws: Aws, request: pytest.FixtureRequest) -> Callable[..., str]:
    """A function that registers a package in a group of the test's own and returns its ARN."""
    group = new_group(aws, f"of-{abs(hash(request.node.name))}")

    def register(status: str = PENDING, **properties: str) -> str:
        named = {"ncf:" + name.replace("_", "-"): value for name, value in properties.items()}
        return new_package(aws, group, status, **({"CustomerMetadataProperties": named} if named else {}))

    return register


def found(aws: Aws, arn: str) -> Package:
    package = describe(aws, arn)
    assert package is not None
    return package


def decided(command: type[Stage], arn: str, note: str, capsys: Any) -> str:
    execution.run(command, [arn, "--note", note])
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(("command", "status"), [(Approve, APPROVED), (Reject, REJECTED)])
def test_who_when_and_why_are_kept(
    command: type[Stage], status: str, aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package(run="run-1", release="on_approval")
    assert decision_of(found(aws, arn)) is None
    before = datetime.now(UTC).replace(microsecond=0)
    said = decided(command, arn, "  looks\ngood, as asked [1]", capsys)
    after = found(aws, arn)
    caller = boto3.client("sts").get_caller_identity()["Arn"]
    assert (after.status, after.note) == (status, "looks good, as asked [1]")
    assert after.properties[DECIDED_BY] == caller
    assert before <= datetime.fromisoformat(after.properties[DECIDED_AT]) <= datetime.now(UTC)
    assert (after.run, after.properties[RELEASE]) == ("run-1", "on_approval"), "other properties stay"
    decision = decision_of(after)
    assert decision is not None
    assert (decision.by, decision.note) == (caller, "looks good, as asked [1]")
    assert f"{after.name} is {status}, since " in said
    assert f"by {caller}: " in said


def test_the_first_decision_stays_if_it_is_repeated(aws: Aws, package: Callable[..., str], capsys: Any) -> None:
    arn = package()
    decided(Approve, arn, "first", capsys)
    before = found(aws, arn)
    said = decided(Approve, arn, "second", capsys)
    assert found(aws, arn) == before
    assert "is Approved already, since " in said
    assert ": first; nothing is changed" in said


def test_a_rejected_package_may_be_approved_and_what_was_against_it_is_said(
    aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package(REJECTED, gate="closed: NDCG is lower")
    said = decided(Approve, arn, "the test data were wrong", capsys)
    assert found(aws, arn).status == APPROVED
    assert "was Rejected before, since " in said
    assert "the gate of its run was closed: NDCG is lower" in said
    assert f"the release pipeline deploys it, with package={arn}" in said
    assert "was Approved before, since " in decided(Reject, arn, "they were not", capsys)
    assert found(aws, arn).status == REJECTED


def test_a_live_package_stays_live_when_it_is_rejected(
    aws: Aws, local: Any, package: Callable[..., str], capsys: Any
) -> None:
    live, other = package(APPROVED), package(APPROVED)
    for endpoint in ("ncf-live", "ncf-mail"):
        endpoint_of_package(local, aws, endpoint, live)
    said = decided(Reject, live, "complaints", capsys)
    for endpoint in ("ncf-live", "ncf-mail"):
        assert f"WARNING: it stays live on endpoint {endpoint}" in said
        assert f"'ncf rollback {endpoint}' returns to the model before it" in said
    assert "live" not in decided(Reject, other, "complaints", capsys)
    assert "it is live on endpoint ncf-live, ncf-mail" in decided(Approve, live, "no complaints", capsys)


def test_a_record_is_not_approved(aws: Aws, package: Callable[..., str]) -> None:
    arn = package(release="never")
    with pytest.raises(InputError, match="version 1 was registered with release=never: it is a record.*expected"):
        execution.run(Approve, [arn, "--note", "x"])
    assert found(aws, arn).status == PENDING


def test_studio_s_button_is_enough(aws: Aws, package: Callable[..., str], capsys: Any) -> None:
    arn = package()
    boto3.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED)
    approved = found(aws, arn)
    decision = decision_of(approved)
    assert decision is not None
    assert (decision.by, decision.at) == (approved.modified_by, approved.modified)
    assert obstacle(approved) == ""
    assert "is Approved already, since " in decided(Approve, arn, "x", capsys)
    assert found(aws, arn) == approved


@pytest.fixture
def someone() -> Any:
    """A client of another caller, as of SageMaker Studio."""
    iam = boto3.client("iam")
    name = f"someone-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client("sagemaker", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


@pytest.mark.parametrize("note", ["", "seen in Studio"])
def test_a_later_decision_elsewhere_shows_nothing_of_the_one_before(
    note: str, aws: Aws, package: Callable[..., str], someone: Any, capsys: Any
) -> None:
    arn = package()
    decided(Approve, arn, "fine", capsys)
    described = {"ApprovalDescription": note} if note else {}
    for status in (REJECTED, APPROVED):  # the second one is the status of the command
        someone.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status, **described)
        after = found(aws, arn)
        decision = decision_of(after)
        assert decision is not None
        assert re.fullmatch(r"arn:aws:iam::123456789012:user/someone-\w+", decision.by)
        assert (decision.at, decision.note, decision.origin) == (after.modified, note, "the last change of the package")
    assert "fine" not in decided(Reject, arn, "no", capsys)
    again = decision_of(found(aws, arn))
    assert again is not None
    assert (again.by, again.note, again.origin) == (boto3.client("sts").get_caller_identity()["Arn"], "no", "")


def test_a_decision_long_before_the_last_change_is_not_shown_as_recorded(
    aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    """Of the same caller, who may use Studio too."""
    arn = package()
    decided(Approve, arn, "fine", capsys)
    later = replace(found(aws, arn), modified=datetime.now(UTC) + timedelta(hours=1))
    decision = decision_of(later)
    assert decision is not None
    assert (decision.at, decision.note, decision.origin) == (later.modified, "", "the last change of the package")


def test_the_decision_of_the_registration_is_its_author_s(aws: Aws, package: Callable[..., str]) -> None:
    assert str(decision_of(found(aws, package(APPROVED)))).endswith("(the registration)")


@pytest.mark.parametrize(
    "change",
    [
        {"InferenceSpecification": specification("s3://bucket/other")},
        {"InferenceSpecification": {"Containers": [{"Image": "r.example/other:1", "ModelDataSource": SOURCE}]}},
        {"CustomerMetadataProperties": {"ncf:sha256": "0" * 64}},
        {"CustomerMetadataPropertiesToRemove": ["ncf:run"]},
        {"SourceUri": "s3://bucket/source"},
    ],
)
def test_what_was_changed_after_its_approval_is_not_released(
    change: dict[str, Any], aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package(run="run-1", sha256="f" * 64)
    decided(Approve, arn, "fine", capsys)
    assert obstacle(found(aws, arn)) == ""
    boto3.client("sagemaker").update_model_package(ModelPackageArn=arn, **change)
    caller = boto3.client("sts").get_caller_identity()["Arn"]
    reason = obstacle(found(aws, arn))
    assert f"version 1 are no longer those that {caller} approved at 20" in reason
    assert f"by {caller}; 'ncf approve" in reason
    said = decided(Approve, arn, "also good", capsys)
    assert "no longer those that" in said
    assert f"is {APPROVED}, since " in said
    assert obstacle(found(aws, arn)) == ""


@pytest.mark.parametrize(("command", "status"), [(Approve, APPROVED), (Reject, REJECTED)])
def test_a_decision_that_is_killed_is_whole_or_not_made(
    command: type[Stage],
    status: str,
    aws: Aws,
    package: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    for after in range(1, 20):
        arn = package(run="run-1")
        with monkeypatch.context() as patched:
            made = kill_after(after, patched, reads=True)
            try:
                decided(command, arn, "a reason", capsys)
                break
            except KilledError:
                pass
        left = found(aws, arn)
        if "update_model_package" in made:
            assert left.status == status
            assert (str(decision_of(left)).endswith(": a reason"), set(OF_DECISION) <= left.properties.keys()) == (
                True,
                True,
            )
        else:
            assert (left.status, left.properties) == (PENDING, {"ncf:run": "run-1"})
        decided(command, arn, "a reason", capsys)
        assert found(aws, arn).status == status
    assert after > 3


def test_properties_of_others_are_no_part_of_what_is_approved(
    aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package(run="run-1")
    decided(Approve, arn, "fine", capsys)
    boto3.client("sagemaker").update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"ticket": "A-1"})
    assert obstacle(found(aws, arn)) == ""


def test_what_changes_between_the_reading_and_the_approval_is_not_approved(
    aws: Aws, package: Callable[..., str]
) -> None:
    arn = package()
    read = found(aws, arn)
    boto3.client("sagemaker").update_model_package(
        ModelPackageArn=arn, InferenceSpecification=specification("s3://bucket/other")
    )
    decide(aws, read, APPROVED, "fine")
    assert "no longer those" in obstacle(found(aws, arn))


def test_a_property_that_somebody_else_has_written_is_no_time(
    aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package()
    decided(Approve, arn, "x", capsys)
    boto3.client("sagemaker").update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={DECIDED_AT: "yesterday"}
    )
    after = found(aws, arn)
    decision = decision_of(after)
    assert decision is not None
    assert decision.at == after.modified


def test_a_caller_without_permission_is_told(aws: Aws, local: Any, package: Callable[..., str]) -> None:
    arn = package()
    local.faults.add("refuse", "UpdateModelPackage", error="AccessDeniedException", times=1)
    with pytest.raises(RefusedError, match="AccessDenied"):
        execution.run(Approve, [arn, "--note", "x"])
    assert found(aws, arn).status == PENDING


@pytest.mark.parametrize(("command", "status"), [(Approve, APPROVED), (Reject, REJECTED)])
def test_a_decision_needs_no_permission_to_see_where_a_package_is_live(
    command: type[Stage], status: str, aws: Aws, local: Any, package: Callable[..., str], capsys: Any
) -> None:
    arn = package()
    local.faults.add("refuse", "GetResources", error="AccessDeniedException", times=1)
    said = decided(command, arn, "x", capsys)
    assert f"is {status}, since " in said
    assert "where it is live is not known: " in said
    assert found(aws, arn).status == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody/1", "--note", "x"], "there is no model package group 'nobody'.*expected the ARN"),
        (["not a name", "--note", "x"], "'not a name' is no model package: expected the ARN"),
        (["ncf/1"], "--note is required"),
        (["ncf/1", "--note", ""], "parameter 'note' is '': expected the reason of the decision"),
        (["ncf/1", "--note", "  "], "expected the reason of the decision"),
        (["ncf/1", "--note", "x" * 1025], "parameter 'note' is .*1024"),
    ],
)
@pytest.mark.parametrize("command", [Approve, Reject])
def test_what_is_wrong_is_named(command: type[Stage], arguments: list[str], message: str, aws: Aws) -> None:
    with pytest.raises(InputError, match=message):
        execution.run(command, arguments)


def test_the_gate_that_was_passed_is_no_remark(aws: Aws, package: Callable[..., str], capsys: Any) -> None:
    assert GATE == "ncf:gate"
    assert "gate" not in decided(Approve, package(gate="passed"), "x", capsys)
