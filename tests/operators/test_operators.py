"""What operators run: rollback, clean, stop-jobs; against an AWS account on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from local_account import BUCKET, ROLE, local_account
from runs import PREFIX, deploy, left_behind, run_of, status, tags_of, train

from components.local.aws.errors import ApiError
from ncf.aws.names import ABANDONED_TAG
from ncf.errors import InputError, RemoteError
from ncf.operators.clean import Clean
from ncf.operators.rollback import Rollback
from ncf.operators.stop_jobs import StopJobs
from ncf.sagemaker.training import jobs
from ncf.stage import execution, parsing
from ncf.storage import list_objects


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def sagemaker(account: Any) -> Any:
    return boto3.client("sagemaker")


@pytest.mark.slow
def test_rollback_goes_back_version_by_version(tmp_path: Path, sagemaker: Any, capsys: Any) -> None:
    versions = [deploy(tmp_path, "ncf-back", f"run-{seed}", seed) for seed in (1, 2, 3)]

    def live() -> str:
        return str(sagemaker.describe_endpoint(EndpointName="ncf-back")["EndpointConfigName"])

    def run_tag() -> str:
        arn = sagemaker.describe_endpoint(EndpointName="ncf-back")["EndpointArn"]
        return next(tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"] if tag["Key"] == "ncf:run")

    assert (live(), run_tag()) == (versions[2], "run-3")
    for seed in (2, 1):
        execution.run(Rollback, ["ncf-back"])
        assert (live(), run_tag()) == (versions[seed - 1], f"run-{seed}")
        assert f"ncf-back serves {versions[seed - 1]} again" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no older config.*keep_versions"):
        execution.run(Rollback, ["ncf-back"])
    fourth = deploy(tmp_path, "ncf-back", "run-4", 4)
    assert live() == fourth
    execution.run(Rollback, ["ncf-back"])
    assert live() == versions[0], "what was served before the last update, not what was made before it"


def test_rollback_says_what_is_not_there(sagemaker: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no endpoint 'nobody'"):
        execution.run(Rollback, ["nobody"])
    first = deploy(tmp_path, "ncf-modelless", "a", 1)
    deploy(tmp_path, "ncf-modelless", "b", 2)
    sagemaker.delete_model(ModelName=first)
    with pytest.raises(InputError, match=f"model of its previous config {first} was deleted"):
        execution.run(Rollback, ["ncf-modelless"])


def test_clean_deletes_all_that_a_run_left_and_nothing_else(
    tmp_path: Path, make_dataset: Callable[..., Path], sagemaker: Any, capsys: Any
) -> None:
    dataset = make_dataset()
    for run in ("run-x", "run-y"):
        train(tmp_path, dataset, run, "--checkpoint-s3-uri", f"{PREFIX}/checkpoints")
    version = deploy(tmp_path, "ncf-gone", "run-x", 1)
    other = deploy(tmp_path, "ncf-stays", "run-y", 2)
    capsys.readouterr()

    execution.run(Clean, ["--run", "run-x"])
    listed = capsys.readouterr().out.splitlines()
    (job,) = {line.split()[1].split("/")[4] for line in listed if line.startswith("objects") and "ncf-train" in line}
    assert f"endpoint        {'ncf-gone'}" in listed
    assert f"endpoint-config {version}" in listed
    assert f"model           {version}" in listed
    assert f"objects         {PREFIX}/{version}  (" in "\n".join(listed)
    assert f"objects         {PREFIX}/{job}  (" in "\n".join(listed)
    assert listed[-1].startswith(f"{len(listed) - 1} to be deleted; nothing was")
    assert "'--dry-run false'" in listed[-1], "it lists first, as stop-jobs does"
    assert sagemaker.describe_endpoint(EndpointName="ncf-gone")["EndpointStatus"] == "InService"

    execution.run(Clean, ["--run", "run-x", "--dry-run", "false"])
    assert "nothing of run run-x is left" in capsys.readouterr().out
    names = [entry["EndpointName"] for entry in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]]
    assert "ncf-gone" not in names
    assert "ncf-stays" in names
    left = [uri for uri in list_objects(PREFIX) if job in uri or version in uri]
    assert left == []
    assert list_objects(f"{PREFIX}/{other}")

    execution.run(Clean, ["--run", "run-x", "--dry-run", "false"])
    assert "has the tag of run run-x: nothing was deleted" in capsys.readouterr().out, "it may be run again"


def test_clean_keeps_what_an_endpoint_serves_whose_pod_could_not_mark_it(
    tmp_path: Path, sagemaker: Any, capsys: Any
) -> None:
    """The pod has died between the update and the mark: the endpoint still bears the first run's tag."""
    deploy(tmp_path, "ncf-unmarked", "run-3", 1)
    live = deploy(tmp_path, "ncf-unmarked", "run-4", 2)
    arn = sagemaker.describe_endpoint(EndpointName="ncf-unmarked")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "ncf:run", "Value": "run-3"}])
    capsys.readouterr()
    execution.run(Clean, ["--run", "run-4", "--dry-run", "false"])
    assert f"endpoint-config {live}: kept" in capsys.readouterr().out
    assert sagemaker.describe_model(ModelName=live)["ModelName"] == live
    assert list_objects(f"{PREFIX}/{live}"), "nor does it lose the model that it would load again"


def test_clean_keeps_an_endpoint_that_another_run_has_updated(tmp_path: Path, sagemaker: Any, capsys: Any) -> None:
    first = deploy(tmp_path, "ncf-shared", "run-1", 1)
    second = deploy(tmp_path, "ncf-shared", "run-2", 2)
    capsys.readouterr()
    arn = sagemaker.describe_endpoint(EndpointName="ncf-shared")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "ncf:run", "Value": "run-1"}])
    execution.run(Clean, ["--run", "run-1", "--dry-run", "false"])
    assert "endpoint        ncf-shared  (it serves the model of run run-2): kept" in capsys.readouterr().out
    assert sagemaker.describe_endpoint(EndpointName="ncf-shared")["EndpointConfigName"] == second
    assert first not in [entry["ModelName"] for entry in sagemaker.list_models(MaxResults=100)["Models"]]


def put(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    return uri


def test_a_tag_that_anybody_can_write_deletes_nothing_elsewhere(account: Any, running: str, capsys: Any) -> None:
    """Jobs and models of others bear the run's tag, and name S3 folders of others."""
    run, client = run_of(running), boto3.client("sagemaker")
    precious = [put(f"s3://{BUCKET}/{key}") for key in ("others/weights", "others/out/nightly/x", "data/model/weights")]
    tags = [{"Key": "ncf:run", "Value": run}, {"Key": "ncf:stage", "Value": "train"}]
    given = {**job(account, running).request, "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/others"}, "Tags": tags}
    names = ["nightly", "ncf-train-0123456789abcdef", "ncf-train-0123456789abcdef-2"]
    for name in names:
        account.faults.add("hold", name, state="Starting", seconds=60)
        output = {**given["OutputDataConfig"], "S3OutputPath": f"s3://{BUCKET}/others/out"}
        client.create_training_job(**{**given, "TrainingJobName": name, "OutputDataConfig": output})
    data = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/model/", "CompressionType": "None"}
    container = {"Image": "registry/ncf-deploy:1", "ModelDataSource": {"S3DataSource": data}}
    client.create_model(ModelName="data", PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags)
    execution.run(Clean, ["--run", run, "--dry-run", "false"])
    out = capsys.readouterr().out
    assert "training-job    nightly  (its name is not one of this project's): kept" in out
    assert "model           data  (its name is not one of this project's): kept" in out
    assert status("nightly") == "InProgress"
    assert client.describe_model(ModelName="data")["ModelName"] == "data"
    assert [uri for uri in precious if not list_objects(uri)] == []
    assert [status(name) in ("Stopping", "Stopped") for name in names[1:]] == [True, True]
    client.stop_training_job(TrainingJobName="nightly")
    client.delete_model(ModelName="data")


def test_clean_deletes_the_checkpoints_of_all_attempts_which_share_them(
    account: Any, running: str, capsys: Any
) -> None:
    first = "ncf-train-00112233445566ff"
    kept, gone = put(f"{PREFIX}/cp/{first}-of-others/a"), put(f"{PREFIX}/cp/{first}/a")
    account.faults.add("hold", f"{first}-2", state="Starting", seconds=60)
    request = {
        **job(account, running).request,
        "TrainingJobName": f"{first}-2",
        "CheckpointConfig": {"S3Uri": f"{PREFIX}/cp/{first}"},
    }
    boto3.client("sagemaker").create_training_job(**request)
    execution.run(Clean, ["--run", run_of(running), "--dry-run", "false"])
    assert (list_objects(gone), list_objects(kept)) == ([], [kept])


def test_an_endpoint_that_cannot_be_deleted_keeps_its_model_and_nothing_else(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path], sagemaker: Any
) -> None:
    """SageMaker refuses to delete an endpoint that is being created or updated."""
    train(tmp_path, make_dataset(), "run-busy")
    busy, idle = (deploy(tmp_path, name, "run-busy", seed) for seed, name in ((1, "ncf-busy"), (2, "ncf-idle")))
    delete_endpoint = account._api.delete_endpoint

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        if request["EndpointName"] == "ncf-busy":
            raise ApiError("ValidationException", "Cannot delete an endpoint that is being updated")
        return dict(delete_endpoint(request))

    with (
        patch.object(account._api, "delete_endpoint", refuse),
        pytest.raises(
            RemoteError, match=r"still there: endpoint ncf-busy: .* is being updated, endpoint-config ncf-bus"
        ),
    ):
        execution.run(Clean, ["--run", "run-busy", "--dry-run", "false"])
    names = [entry["ModelName"] for entry in sagemaker.list_models(MaxResults=100)["Models"]]
    assert (busy in names, idle in names) == (True, False)
    assert [bool(list_objects(f"{PREFIX}/{version}")) for version in (busy, idle)] == [True, False]
    execution.run(Clean, ["--run", "run-busy", "--dry-run", "false"])


def test_clean_fails_if_anything_remains(tmp_path: Path, sagemaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = deploy(tmp_path, "ncf-remains", "run-r", 1)
    monkeypatch.setattr("ncf.sagemaker.hosting.versions._DELETIONS", ())
    with pytest.raises(RemoteError, match=f"still there: endpoint-config {version}, model {version}"):
        execution.run(Clean, ["--run", "run-r", "--dry-run", "false"])


@pytest.fixture
def running(account: Any, tmp_path: Path, make_dataset: Callable[..., Path]) -> Iterator[str]:
    """A job whose launcher is gone."""
    with left_behind(account, tmp_path, make_dataset(), f"run-{tmp_path.name}") as job:
        yield job


def job(account: Any, name: str) -> Any:
    return account._api._jobs.of({"TrainingJobName": name})


def abandon(name: str, hours: float) -> None:
    """Mark a job as its launcher does, some hours ago."""
    client = boto3.client("sagemaker")
    arn = client.describe_training_job(TrainingJobName=name)["TrainingJobArn"]
    at = datetime.now(UTC) - timedelta(hours=hours)
    mark = {"Key": ABANDONED_TAG, "Value": f"launcher {at.strftime('%Y-%m-%dT%H:%M:%S%z')}"}
    client.add_tags(ResourceArn=arn, Tags=[mark])


def test_stop_jobs_lists_first_and_stops_what_has_no_launcher(account: Any, running: str, capsys: Any) -> None:
    job(account, running)._created -= 7 * 3600
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n", "it waits for instances, and its launcher may wait for it"
    abandon(running, hours=7)
    execution.run(StopJobs, ["--older-than", "6h"])
    out = capsys.readouterr().out
    assert f"training job {running} of run {run_of(running)}: abandoned by its launcher 7.0 h ago" in out
    assert "dry run" in out
    execution.run(StopJobs, ["--older-than", "8h", "--dry-run", "false"])
    assert status(running) == "InProgress"
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out
    assert status(running) in ("Stopping", "Stopped")


@pytest.mark.parametrize(
    ("limits", "created", "started", "reason"),
    [
        ({"MaxRuntimeInSeconds": 86_400}, 30, 7, ""),
        ({"MaxRuntimeInSeconds": 3600}, 7, 7, "past its 'max_run_time' by 6.0 h"),
        ({"MaxRuntimeInSeconds": 3600}, 30, 0.5, ""),
        ({"MaxRuntimeInSeconds": 3600}, 30, 1.1, ""),
        ({"MaxRuntimeInSeconds": 3600}, 30, None, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 23, None, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 23, 22, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 25, None, "past its 'max_wait_time' by 1.0 h"),
    ],
    ids=str,
)
def test_a_job_within_its_own_limits_is_left_to_its_launcher(
    limits: dict[str, int], created: float, started: float | None, reason: str
) -> None:
    """Times in hours before now. An interrupted spot job trains again within its longer limit."""
    now = datetime.now(UTC)
    description: dict[str, Any] = {"StoppingCondition": limits, "CreationTime": now - timedelta(hours=created)}
    if started is not None:
        description["TrainingStartTime"] = now - timedelta(hours=started)
    assert jobs.overdue(description, None, timedelta(hours=1), now) == reason


def change_tags(account: Any, name: str, **changed: str) -> None:
    tags = {key: value for key, value in tags_of(name).items() if key != changed.get("without")}
    tags |= {f"ncf:{key}": value for key, value in changed.items() if key != "without"}
    account._api.tags.set(job(account, name).arn, [{"Key": key, "Value": value} for key, value in tags.items()])


@pytest.mark.parametrize("changed", [{"without": "ncf:stage"}, {"namespace": "team-b"}], ids=str)
def test_stop_jobs_leaves_jobs_of_other_owners(
    account: Any, running: str, capsys: Any, changed: dict[str, str]
) -> None:
    abandon(running, hours=7)
    change_tags(account, running, **changed)
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n"
    assert status(running) == "InProgress"


def test_stop_jobs_stops_the_jobs_of_a_given_namespace(account: Any, running: str, capsys: Any) -> None:
    abandon(running, hours=7)
    change_tags(account, running, namespace="team-b")
    execution.run(StopJobs, ["--older-than", "6h", "--namespace", "team-b", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ncf-training-of-others", "others-ncf-train-0123456789abcdef", "ncf-train-2-nightly"])
def test_the_tags_of_jobs_with_other_names_are_not_read(account: Any, running: str, capsys: Any, name: str) -> None:
    """ListTrainingJobs lists the whole account; ListTags is allowed for own names alone."""
    request = {**job(account, running).request, "TrainingJobName": name}
    account.faults.add("hold", name, state="Starting", seconds=60)
    client = boto3.client("sagemaker")
    client.create_training_job(**request)
    abandon(name, hours=7)
    abandon(running, hours=7)
    with denied(account, name):
        execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out
    assert status(name) == "InProgress"
    client.stop_training_job(TrainingJobName=name)


@contextmanager
def denied(account: Any, name: str) -> Iterator[None]:
    """Deny ListTags for one job, as IAM does for a job of another namespace."""
    list_tags = account._api.tags.list_tags

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        if request["ResourceArn"].endswith(f"/{name}"):
            raise ApiError("AccessDeniedException", "not authorized to perform: sagemaker:ListTags")
        return dict(list_tags(request))

    with patch.object(account._api.tags, "list_tags", refuse):
        yield


def test_tags_that_may_not_be_read_end_nothing(account: Any, running: str, capsys: Any) -> None:
    abandon(running, hours=7)
    with denied(account, running):
        execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n"


@pytest.mark.parametrize("age", ["6", "0h", "6 h", "1w", "soon"])
def test_an_age_that_is_none_is_named(age: str) -> None:
    with pytest.raises(InputError, match=r"older_than.*90m, 6h or 2d"):
        parsing.parse(StopJobs, ["--older-than", age])
