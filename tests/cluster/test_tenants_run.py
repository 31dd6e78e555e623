"""Whole runs within a namespace: the roles allow each call to AWS, on the very resource and tags, and no other tenant's.

Each service of AWS is evaluated, with what a call requires besides: roles that are passed, tags, alarms of autoscaling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from captured import of_user, write
from fake_account import REGISTRY, Account
from fake_account import ROLE as SERVICE_ROLE
from iam_account import Decision, Iam, iam, policy
from local_account import BUCKET, ROLE, executor_input, local_account
from runs import PREFIX, deploy, left_behind, register, status, tags_of, train

from components.cluster.permissions import NOT_BY_STACK
from ncf.aws import namespace
from ncf.aws.events import put_event
from ncf.aws.permissions import NOT_BY_NAMESPACE, UNSCOPED
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError
from ncf.operators.approve import Approve
from ncf.operators.checks import account as checked_account
from ncf.operators.clean import Clean
from ncf.operators.doctor import Doctor
from ncf.operators.models import Models
from ncf.operators.reject import Reject
from ncf.operators.rollback import Rollback
from ncf.operators.stop_jobs import StopJobs
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.hosting.live import live_endpoints
from ncf.sagemaker.registry.approval import decide
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import find
from ncf.stage import execution
from ncf.stages.deploy import Deploy
from ncf.stages.finish import Finish
from ncf.stages.monitor import Monitor
from ncf.stages.select_package import SelectPackage
from ncf.storage import upload

ENDPOINT = "ncf-tenant"
SCALED = ("--max-instance-count", "3", "--bake-time", "1", "--max-latency", "500")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def pods(account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Iam]:
    """IAM, and pods in the namespace team-a."""
    mounted = tmp_path / "namespace"
    mounted.write_text("team-a")
    monkeypatch.setattr(namespace, "_FILE", mounted)
    with iam(account) as decides:
        yield decides
    pods_of_others = policy("PodRole", "team-b")
    allowed = [one for one in decides.made if one.team == "team-a" and one not in decides.denied]
    same = {_listed(one) for one in allowed if _concerns_team(one) and pods_of_others.allows(*one[:3])}
    assert same <= {*UNSCOPED, *NOT_BY_NAMESPACE}, "another namespace could do the same, for which there is no reason"


def _concerns_team(decision: Decision) -> bool:
    """Whether a call has met a resource of the team: a missing one of SageMaker or CloudWatch has no tags."""
    can_have_tags = decision.resource.startswith("arn:aws:sagemaker:") or ":alarm:ncf" in decision.resource
    return not can_have_tags or any(key.startswith(("aws:ResourceTag/", "aws:RequestTag/")) for key in decision.keys)


def _listed(decision: Decision) -> str:
    """How the template lists an action."""
    return f"{decision.action} TargetTracking-*" if ":alarm:TargetTracking-" in decision.resource else decision.action


def finish(folder: Path, run: str, *more: str) -> str:
    """The summary of a run's exit handler."""
    flags = ["--run-id", run, "--summary", str(folder / "summary"), *more]
    execution.run(Finish, executor_input(Finish, flags, folder, {"summary": f"{PREFIX}/{run}/summary"}))
    return (folder / "summary").read_text()


def actions(decides: Iam) -> set[str]:
    return {decision.action for decision in decides.made}


def test_the_role_allows_a_run_all_its_calls(
    tmp_path: Path, make_dataset: Callable[..., Path], pods: Iam, account: Any
) -> None:
    topic = boto3.client("sns").create_topic(Name="team-a")["TopicArn"]
    train(tmp_path, make_dataset(), "run-1", "--checkpoint-s3-uri", f"{PREFIX}/checkpoints")
    for number in (1, 2):
        deploy(tmp_path, ENDPOINT, f"run-{number}", number)
    summary = finish(tmp_path, "run-1", "--endpoint-name", ENDPOINT, "--notify", topic, "--notify-on", "always")
    assert "training job ncf-train-" in summary, "found by the tag of the namespace"
    assert pods.denied == []
    assert actions(pods) >= {
        "iam:PassRole",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateTrainingJob",
        "sagemaker:InvokeEndpoint",
        "sagemaker:UpdateEndpoint",
        "sns:Publish",
        "tag:GetResources",
    }


def test_an_update_to_other_instances_a_failed_one_and_a_retry_are_allowed(
    tmp_path: Path, account: Any, pods: Iam, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ncf-scaled"
    first = deploy(tmp_path, name, "run-1", 1, *SCALED)
    larger = ("--endpoint-instance-type", "ml.c5.xlarge", *SCALED)
    with pytest.raises(RemoteError, match=r"InvokeEndpoint|invoke_endpoint"):
        deploy(tmp_path, name, "run-2", 2, *larger, errs=True)
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == first, "undone"
    account.faults.add("hold", name, state="Updating", seconds=1.0)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Endpoint, "settled", _killed(name))
        deploy(tmp_path, name, "run-3", 3, *larger)
    assert deploy(tmp_path, name, "run-3", 3, *larger) != first
    deploy(tmp_path, name, "run-4", 4, "--max-instance-count", "0", "--bake-time", "0")
    assert pods.denied == []
    assert actions(pods) >= {
        "application-autoscaling:DeregisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:RegisterScalableTarget",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    }


def test_an_endpoint_is_monitored(tmp_path: Path, pods: Iam) -> None:
    capture = f"{PREFIX}/capture"
    deploy(tmp_path, "ncf-watched", "run-9", 1, "--bake-time", "0", "--data-capture-s3-uri", capture)
    records = [of_user(f"x{number}", ["i1"], number * 60.0, "popular") for number in range(300)]
    write(tmp_path / "captured", "ncf-watched", records)
    for path in (tmp_path / "captured").rglob("*.jsonl"):
        upload(path, f"{capture}/{path.relative_to(tmp_path / 'captured')}")
    topic = boto3.client("sns").create_topic(Name="team-a")["TopicArn"]
    flags = {"endpoint-name": "ncf-watched", "since": "2026-05-04", "notify": topic, "retrain": "true"}
    outputs = {name: tmp_path / f"monitor-{name}" for name in Monitor.outputs()}
    execution.run(Monitor, [f"--{name}={value}" for name, value in {**flags, **outputs}.items()])
    assert outputs["breached"].read_text() == "true"
    assert pods.denied == []
    assert actions(pods) >= {"cloudwatch:GetMetricData", "events:PutEvents", "sns:Publish", "s3:PutObject"}


def test_an_event_of_another_kind_is_denied(pods: Iam) -> None:
    with pytest.raises(RemoteError, match="AccessDenied"):
        put_event(Aws(AwsAccess()), "ncf.other", "NCF Monitor Breach", {}, [])
    assert [decision.action for decision in pods.denied] == ["events:PutEvents"]


def _killed(endpoint: str) -> Callable[..., Any]:
    """``Endpoint.settled`` of a pod that is killed during an update."""
    settled, client = Endpoint.settled, boto3.client("sagemaker")

    def killed(self: Endpoint, *given: Any, **more: Any) -> Any:
        if client.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating":
            raise SystemExit(137)
        return settled(self, *given, **more)

    return killed


def test_a_new_endpoint_that_fails_is_removed(tmp_path: Path, pods: Iam) -> None:
    with pytest.raises(RemoteError, match=r"InvokeEndpoint|invoke_endpoint"):
        deploy(tmp_path, "ncf-new", "run-1", 1, *SCALED, errs=True)
    assert pods.denied == []
    assert "sagemaker:DeleteEndpoint" in actions(pods)
    assert "cloudwatch:DeleteAlarms" in actions(pods)


def test_a_job_that_is_left_is_stopped(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path], pods: Iam
) -> None:
    with left_behind(account, tmp_path, make_dataset(), "run-5") as name:
        execution.run(StopJobs, ["--older-than", "1m", "--dry-run", "false"])
        assert f"training job {name}" in finish(tmp_path, "run-5")
        assert status(name) in ("Stopping", "Stopped")
    assert pods.denied == []
    assert {"sagemaker:StopTrainingJob", "sagemaker:ListTags"} <= actions(pods)


def test_operators_roll_back_and_clean(
    tmp_path: Path, make_dataset: Callable[..., Path], pods: Iam, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "ncf-operated"
    train(tmp_path, make_dataset(), "run-6", "--checkpoint-s3-uri", f"{PREFIX}/checkpoints")
    deploy(tmp_path, name, "run-6", 1, *SCALED)
    deploy(tmp_path, name, "run-6", 2, "--endpoint-instance-type", "ml.c5.xlarge", *SCALED)
    pods.by("OperatorPolicy", "team-a")
    execution.run(Rollback, [name])
    execution.run(Clean, ["--run", "run-6", "--dry-run", "false"])
    assert "nothing of run run-6 is left" in capsys.readouterr().out
    assert pods.denied == []
    assert {"s3:DeleteObject", "sagemaker:DeleteModel", "cloudwatch:DeleteAlarms"} <= actions(pods)


@pytest.mark.parametrize("release", ["at_once", "on_approval"])
def test_pods_register_models_and_do_not_approve_them(tmp_path: Path, pods: Iam, release: str) -> None:
    package = register(tmp_path, f"ncf-{release.replace('_', '-')}", "run-1", 1, "--release", release)
    assert register(tmp_path, f"ncf-{release.replace('_', '-')}", "run-1", 1, "--release", release) == package
    assert pods.denied == []
    aws = Aws(AwsAccess())
    with pytest.raises(Exception, match="no identity-based policy allows the sagemaker:UpdateModelPackage action"):
        decide(aws, find(aws, package), APPROVED, "by a pod")


def test_the_life_of_a_package_needs_no_other_permissions(tmp_path: Path, pods: Iam) -> None:
    """Pods register, release and find what is live; operators decide and roll back."""
    aws, group = Aws(AwsAccess()), "ncf-life"
    arns = []
    for number in (1, 2):
        pods.by("PodRole", "team-a")
        arns.append(register(tmp_path, group, f"run-{number}", number, "--release", "on_approval"))
        pods.by("OperatorPolicy", "team-a")
        execution.run(Approve, [arns[-1], "--note", "good lists"])
        pods.by("PodRole", "team-a")
        release(tmp_path, arns[-1], f"run-{number}")
        assert live_endpoints(aws)[arns[-1]] == [group]
    pods.by("OperatorPolicy", "team-a")
    execution.run(Models, [group])
    execution.run(Rollback, [group])
    assert live_endpoints(aws)[arns[0]] == [group]
    execution.run(Reject, [arns[1], "--note", "worse lists"])
    assert pods.denied == []


def release(folder: Path, package: str, run: str) -> None:
    outputs = [f"--{name}={folder / run / name}" for name in ("endpoint", "summary", "metrics")]
    selected = folder / run / "arn"
    execution.run(
        SelectPackage, ["--package", package, f"--arn={selected}", f"--summary={folder / run / 'package.md'}"]
    )
    given = [f"--package={selected.read_text()}", f"--role={ROLE}", "--endpoint-name=ncf-life", f"--run-id={run}"]
    execution.run(Deploy, [*given, "--bake-time=0", *outputs])


def test_endpoints_of_another_namespace_are_left_out_of_what_is_live(tmp_path: Path, pods: Iam) -> None:
    deploy(tmp_path, "ncf-hidden", "run-9", 1, "--bake-time", "0")
    (tmp_path / "namespace").write_text("team-b")
    pods.by("PodRole", "team-b")
    assert live_endpoints(Aws(AwsAccess())) == {}
    assert {decision.action for decision in pods.denied} == {"sagemaker:DescribeEndpoint"}


def test_operators_examine_an_account(monkeypatch: pytest.MonkeyPatch, pods: Iam) -> None:
    monkeypatch.setattr(checked_account, "Aws", Account().open)
    pods.by("OperatorPolicy", "team-a")
    Doctor(
        train_role=SERVICE_ROLE,
        deploy_role=SERVICE_ROLE,
        bucket=BUCKET,
        train_image=f"{REGISTRY}/team/ncf-train:1.0",
        deploy_image=f"{REGISTRY}/ncf-deploy:1.0",
    ).run()
    assert pods.denied == []
    assert {"ecr:BatchGetImage", "iam:GetRole", "s3:ListBucket", "servicequotas:ListServiceQuotas"} <= actions(pods)


def test_an_assumed_role_is_the_one_of_the_stack(pods: Iam) -> None:
    Aws(AwsAccess(assume_role=f"{ROLE}-assumed-team-a")).call("sts", "get_caller_identity")
    with pytest.raises(Exception, match="AccessDenied"):
        Aws(AwsAccess(assume_role=f"{ROLE}-assumed-team-b")).call("sts", "get_caller_identity")
    assert [decision.action for decision in pods.denied] == ["sts:AssumeRole"]


def test_another_namespace_neither_finds_nor_changes_the_resources(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path], pods: Iam, capsys: Any
) -> None:
    """Its names begin as those of team-a."""
    deploy(tmp_path, "ncf-owned", "run-7", 1, "--bake-time", "0")
    with left_behind(account, tmp_path, make_dataset(), "run-7") as name:
        assert tags_of(name)["ncf:namespace"] == "team-a"
        (tmp_path / "namespace").write_text("team-b")
        pods.by("PodRole", "team-b")
        capsys.readouterr()
        execution.run(StopJobs, ["--older-than", "1m", "--dry-run", "false"])
        assert capsys.readouterr().out == "0 stopped\n"
        summary = finish(tmp_path, "run-7", "--endpoint-name", "ncf-owned")
        assert "AccessDenied" in summary
        assert status(name) == "InProgress"
        with pytest.raises((InputError, RemoteError), match="AccessDenied"):
            deploy(tmp_path, "ncf-owned", "run-8", 2, "--bake-time", "0")
        with pytest.raises((InputError, RemoteError), match="AccessDenied"):
            upload(tmp_path / "summary", f"{PREFIX}/run-7/summary")
    denied = {decision.action for decision in pods.denied}
    assert {"s3:PutObject", "sagemaker:ListTags"} <= denied
    assert not {action for action in actions(pods) - denied if "Stop" in action}


@pytest.mark.parametrize("role", ["TrainingRole", "HostingRole"])
def test_what_jobs_and_endpoints_can_do_elsewhere_has_a_reason(role: str) -> None:
    """Their programs are those of images that any pod may name."""
    roles = policy(role, "team-a")
    own = ("/ncf/", "/ncf-train-", ":key/", "Endpoints/ncf")
    unbound = {
        action
        for action in roles.actions()
        if not all(any(part in one for part in own) for one in roles.resources(action))
    }
    assert unbound == unbound & NOT_BY_STACK.keys()
