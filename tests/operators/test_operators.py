"""What operators run: rollback and clean, against an AWS account on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from local_account import BUCKET, ROLE, local_account
from runs import PREFIX, deploy, job_of, run_of, status, train

from components.local.aws.errors import ApiError
from ncf.errors import InputError, RemoteError
from ncf.operators import cleanup
from ncf.operators.clean import Clean
from ncf.operators.rollback import Rollback
from ncf.stage import execution
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
    given = {**job_of(account, running).request, "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/others"}, "Tags": tags}
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


def test_what_permissions_do_not_cover_is_kept_and_ends_nothing(
    account: Any, running: str, tmp_path: Path, sagemaker: Any, capsys: Any
) -> None:
    """The policy of operators denies the description of an endpoint with another prefix, whatever its tags."""
    deploy(tmp_path, "ncf-foreign", "run-foreign", 1)
    arn = sagemaker.describe_endpoint(EndpointName="ncf-foreign")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "ncf:run", "Value": run_of(running)}])
    account.faults.add("refuse", "DescribeEndpoint", error="AccessDeniedException")
    execution.run(Clean, ["--run", run_of(running), "--dry-run", "false"])
    assert account.faults.coming() == []
    assert "ncf-foreign  (the permissions do not cover it): kept" in capsys.readouterr().out
    assert sagemaker.describe_endpoint(EndpointName="ncf-foreign")["EndpointStatus"] == "InService"
    assert status(running) in ("Stopping", "Stopped")


def test_clean_deletes_the_checkpoints_of_all_attempts_which_share_them(
    account: Any, running: str, capsys: Any
) -> None:
    first = "ncf-train-00112233445566ff"
    kept, gone = put(f"{PREFIX}/cp/{first}-of-others/a"), put(f"{PREFIX}/cp/{first}/a")
    account.faults.add("hold", f"{first}-2", state="Starting", seconds=60)
    request = {
        **job_of(account, running).request,
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


def test_clean_and_rollback_wait_for_an_update(
    tmp_path: Path, account: Any, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (deploy(tmp_path, "ncf-busy", f"run-b{seed}", seed) for seed in (1, 2))

    def update(config: str) -> None:
        """As deploy does, whose pod is then killed."""
        described = sagemaker.describe_endpoint(EndpointName="ncf-busy")
        tags = [{"Key": "ncf:previous", "Value": described["EndpointConfigName"]}]
        sagemaker.add_tags(ResourceArn=described["EndpointArn"], Tags=tags)
        account.faults.add("hold", "ncf-busy", state="Updating", seconds=0.5)
        sagemaker.update_endpoint(EndpointName="ncf-busy", EndpointConfigName=config)

    update(first)
    execution.run(Rollback, ["ncf-busy"])
    assert sagemaker.describe_endpoint(EndpointName="ncf-busy")["EndpointConfigName"] == second
    update(first)
    capsys.readouterr()
    execution.run(Clean, ["--run", "run-b2", "--dry-run", "false"])
    assert "ncf-busy  (it is being updated to the model of run run-b1): kept" in capsys.readouterr().out
    assert sagemaker.describe_model(ModelName=second)["ModelName"] == second, "it is in service meanwhile"


def test_clean_waits_for_an_endpoint_in_progress(
    tmp_path: Path, account: Any, sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deploy(tmp_path, "ncf-new", "run-n", 1)
    sagemaker.delete_endpoint(EndpointName="ncf-new")
    account.faults.add("hold", "ncf-new", state="Creating", seconds=0.5)
    tags = [{"Key": "ncf:run", "Value": "run-n"}]
    sagemaker.create_endpoint(EndpointName="ncf-new", EndpointConfigName=config, Tags=tags)
    capsys.readouterr()
    execution.run(Clean, ["--run", "run-n", "--dry-run", "false"])
    out = capsys.readouterr().out
    assert "endpoint        ncf-new  (Creating, which is waited for)" in out
    assert "nothing of run run-n is left" in out


def test_clean_fails_if_anything_remains(tmp_path: Path, sagemaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = deploy(tmp_path, "ncf-remains", "run-r", 1)
    for kind in ("endpoint-config", "model"):
        monkeypatch.setitem(cleanup._DELETIONS, kind, lambda *_: None)
    with pytest.raises(RemoteError, match=f"still there: endpoint-config {version}, model {version}"):
        execution.run(Clean, ["--run", "run-r", "--dry-run", "false"])
