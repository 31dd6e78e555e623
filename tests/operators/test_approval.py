"""``ncf approve`` and ``ncf reject``: who, when and why stay with the package; Studio's button is enough, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from model_packages import clients, endpoint_of_package, new_group, new_package, registry_account

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.operators.approve import Approve
from ncf.operators.reject import Reject
from ncf.sagemaker.registry.decision import decision_of
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.sagemaker.registry.package import Package, describe, set_properties
from ncf.sagemaker.registry.properties import DECIDED_AT, DECIDED_BY, ENDPOINT, GATE, RELEASE
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


def test_a_live_package_stays_live_when_it_is_rejected(aws: Aws, package: Callable[..., str], capsys: Any) -> None:
    live, former = package(APPROVED), package(APPROVED)
    endpoint_of_package(aws, "ncf-live", live)
    for arn in (live, former):
        set_properties(aws, arn, {ENDPOINT: "ncf-live"})
    said = decided(Reject, live, "complaints", capsys)
    assert "WARNING: it stays live on endpoint ncf-live" in said
    assert "'ncf rollback ncf-live' returns to the model before it" in said
    assert "live" not in decided(Reject, former, "complaints", capsys), "its endpoint serves another one"
    assert "it is live on endpoint ncf-live" in decided(Approve, live, "no complaints", capsys)


def test_a_record_is_not_approved(aws: Aws, package: Callable[..., str]) -> None:
    arn = package(release="never")
    with pytest.raises(InputError, match="version 1 was registered with release=never: it is a record.*expected"):
        execution.run(Approve, [arn, "--note", "x"])
    assert found(aws, arn).status == PENDING


def test_studio_s_button_is_enough(aws: Aws, package: Callable[..., str], capsys: Any) -> None:
    """Also after a decision by a command, which is then no longer who decided."""
    arn = package()
    client = boto3.client("sagemaker")
    client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED)
    first = decision_of(found(aws, arn))
    assert first is not None
    assert first.by == found(aws, arn).modified_by != ""
    assert "is Approved already, since " in decided(Approve, arn, "x", capsys)
    decided(Reject, arn, "a reason", capsys)
    client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED)
    again = decision_of(found(aws, arn))
    assert again is not None
    assert (again.by, again.at) == (first.by, found(aws, arn).modified)


def test_studio_s_decision_outlives_a_change_of_properties(aws: Aws, package: Callable[..., str]) -> None:
    arn = package()
    boto3.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED)
    approved = found(aws, arn)
    time.sleep(0.01)
    set_properties(aws, arn, {ENDPOINT: "ncf-shop"})
    after = found(aws, arn)
    decision = decision_of(after)
    assert decision is not None
    assert after.modified > approved.modified
    assert (decision.by, decision.at) == (approved.modified_by, approved.modified)


def test_a_property_that_somebody_else_has_written_is_no_time(
    aws: Aws, package: Callable[..., str], capsys: Any
) -> None:
    arn = package()
    decided(Approve, arn, "x", capsys)
    set_properties(aws, arn, {DECIDED_AT: "yesterday"})
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
