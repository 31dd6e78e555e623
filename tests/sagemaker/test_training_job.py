"""Training jobs: what is asked for, bought once, followed whole, and stopped."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import ROLE, FakeSageMaker, RefusalError
from hypothesis import given
from hypothesis import strategies as st
from launch import IMAGE, Launch, plan

from ncf.aws import namespace
from ncf.aws.names import MAX_NAME_LENGTH, has_prefix, hashed_name
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs.job import run_job
from ncf.sagemaker.settings import AwsSettings
from ncf.sagemaker.training.job_plan import job_name
from ncf.sagemaker.training.plan import model_uri
from ncf.sagemaker.training.settings import JobSettings


def test_pods_tag_the_job_with_their_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roles of a cluster allow no job without the tag."""
    assert "ncf:namespace" not in {tag["Key"] for tag in plan().request(1)["Tags"]}, "outside a cluster"
    mounted = tmp_path / "namespace"
    mounted.write_text("team-a\n")
    monkeypatch.setattr(namespace, "_FILE", mounted)
    assert {"Key": "ncf:namespace", "Value": "team-a"} in plan().request(1)["Tags"]


@pytest.mark.parametrize("prefix", ["ncf-train", "team-a", "x" * 43])
def test_the_name_of_a_job_begins_with_the_whole_prefix(prefix: str) -> None:
    settings = JobSettings(role=ROLE, train_image=IMAGE, job_prefix=prefix)
    name = job_name(settings, "run", {}, {})
    assert has_prefix(name, prefix)
    assert has_prefix(f"{name}-10", prefix)
    assert len(f"{name}-10") <= MAX_NAME_LENGTH


def test_the_request_says_all_that_the_settings_say(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(
        instance_type="ml.m5.2xlarge",
        instance_count=2,
        volume_size=50,
        max_run_time=600,
        spot_instance=True,
        max_wait_time=900,
        checkpoint_s3_uri="s3://b/checkpoints/",
        traffic_encryption=True,
        network_isolation=False,
        resource_encryption_key="alias/volume",
        output_encryption_key="alias/output",
        vpc_subnets="subnet-1,subnet-2",
        vpc_security_group_ids="sg-1",
        tags={"team": "x"},
    )
    Launch().run(aws, asked)
    request = next(given for operation, given in sagemaker.calls if operation == "CreateTrainingJob")
    algorithm = request.pop("AlgorithmSpecification")
    assert algorithm["TrainingImage"] == IMAGE
    assert algorithm["TrainingInputMode"] == "File"
    assert {"selection:hr_at_10", "final:loss"} <= {entry["Name"] for entry in algorithm["MetricDefinitions"]}
    channels = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"] for entry in request.pop("InputDataConfig")}
    assert {name: source["S3Uri"] for name, source in channels.items()} == {
        "dataset": "s3://b/dataset/",
        "samples": "s3://b/samples/",
    }
    assert {source["S3DataType"] for source in channels.values()} == {"S3Prefix"}
    assert {source["S3DataDistributionType"] for source in channels.values()} == {"FullyReplicated"}
    assert request == {
        "TrainingJobName": asked.name,
        "RoleArn": ROLE,
        "HyperParameters": {"epochs": "2", "tower": "[8, 4]"},
        "Environment": {"NCF_RUN_ID": "run-1", "NCF_IMAGE": IMAGE},
        "OutputDataConfig": {
            "S3OutputPath": "s3://b/run/train/trained_model",
            "CompressionType": "NONE",
            "KmsKeyId": "alias/output",
        },
        "ResourceConfig": {
            "InstanceType": "ml.m5.2xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 50,
            "VolumeKmsKeyId": "alias/volume",
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900},
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": f"s3://b/checkpoints/{asked.name}", "LocalPath": "/opt/ml/checkpoints"},
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
        "Tags": [
            {"Key": "ncf:run", "Value": "run-1"},
            {"Key": "ncf:stage", "Value": "train"},
            {"Key": "team", "Value": "x"},
        ],
    }


def test_a_spot_job_has_checkpoints_beside_its_model_unless_they_are_placed() -> None:
    spot = plan(spot_instance=True, max_wait_time=3600)
    assert spot.request(1)["CheckpointConfig"]["S3Uri"] == f"s3://b/run/train/trained_model/checkpoints/{spot.name}"


def test_tries_of_a_run_share_checkpoints_although_kfp_moves_their_outputs() -> None:
    outputs = [f"s3://b/ncf/run-1/{task}/trained_model" for task in ("7f3a", "91bc")]
    uris = {
        plan(output, spot_instance=True, max_wait_time=3600).request(1)["CheckpointConfig"]["S3Uri"]
        for output in outputs
    }
    (uri,) = uris
    assert uri.startswith("s3://b/ncf/run-1/checkpoints/ncf-train-")


def test_what_is_not_asked_for_is_not_in_the_request() -> None:
    request = plan().request(1)
    assert not {"CheckpointConfig", "VpcConfig"} & set(request)
    assert request["EnableNetworkIsolation"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert plan(keep_alive_period=60).request(1)["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 60


def test_every_log_line_of_every_host_comes_once_and_in_order(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked, launch = plan(instance_count=2), Launch()
    streams = {host: f"{asked.name}/algo-{host}-1700000000" for host in (1, 2)}
    sagemaker.log = {stream: [f"line {n}" for n in range(4)] for stream in streams.values()}
    sagemaker.describes_until_end = 4

    def write(line: str) -> None:
        launch.lines.append(line)
        if len(launch.lines) in (8, 10):  # more comes while the job runs, and after its end
            sagemaker.log[streams[1]] += ["late 1", "late 2"]

    run_job(aws, asked, launch.upload, write)
    first = [line for line in launch.lines if line.startswith("algo-1 | ")]
    assert [line.removeprefix("algo-1 | ") for line in first] == [
        *(f"line {n}" for n in range(4)),
        *("late 1", "late 2") * 2,
    ]
    assert [line for line in launch.lines if line not in first] == [f"algo-2 | line {n}" for n in range(4)]


def test_a_spot_job_s_second_stream_is_read_too(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked, launch = plan(), Launch()
    sagemaker.log = {f"{asked.name}/algo-1-1": ["before"]}

    def write(line: str) -> None:
        launch.lines.append(line)
        sagemaker.log.setdefault(f"{asked.name}/algo-1-2", ["after"])

    run_job(aws, asked, launch.upload, write)
    assert launch.lines == ["before", "after"]


def test_logs_that_may_not_be_read_do_not_fail_the_job(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["DescribeLogStreams"] = RefusalError("AccessDeniedException", "no")
    assert Launch().run(aws, plan())["TrainingJobStatus"] == "Completed"
    assert sagemaker.operations().count("DescribeLogStreams") == 1


@pytest.mark.parametrize("describes", [0, 5])
def test_a_second_try_takes_up_the_job_that_the_first_has_started(
    describes: int, aws: Aws, sagemaker: FakeSageMaker
) -> None:
    first, second = Launch(), Launch()
    sagemaker.describes_until_end = describes
    answers = [
        first.run(aws, plan("s3://b/run/try-1")),
        second.run(aws, plan("s3://b/run/try-2")),  # KFP gives each try another output path
    ]
    assert len(sagemaker.jobs) == 1
    assert (first.uploads, second.uploads) == (1, 0)
    uris = {model_uri(answer) for answer in answers}
    assert uris == {f"s3://b/run/try-1/{plan().name}/output/model"}


def test_two_pods_that_race_buy_one_job(sagemaker: FakeSageMaker) -> None:
    start, results = threading.Barrier(2), []

    def pod() -> None:
        aws = sagemaker.attach(Aws(AwsSettings(role=ROLE)))
        start.wait()
        results.append(Launch().run(aws, plan())["TrainingJobStatus"])

    threads = [threading.Thread(target=pod) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["Completed", "Completed"]
    assert len(sagemaker.jobs) == 1


def test_a_failed_job_s_reason_last_lines_and_link_are_in_the_message(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan()
    sagemaker.outcomes = [("Failed", "AlgorithmError: users:\n no data, exit code: 2")]
    sagemaker.log = {f"{asked.name}/algo-1-1": [f"line {n}" for n in range(30)]}
    sagemaker.log[f"{asked.name}/algo-1-1"][15] = "fit=selection epoch=3 loss=0.2 hr_at_10=0.61"
    with pytest.raises(RemoteError) as caught:
        Launch().run(aws, asked)
    assert "**training job" in caught.value.report
    assert "- epoch: 3" in caught.value.report
    *lines, last = str(caught.value).splitlines()
    shown = [f"  | line {n}" for n in range(10, 30)]
    shown[5] = "  | fit=selection epoch=3 loss=0.2 hr_at_10=0.61"
    assert lines[1:] == shown
    assert (
        f"training job {asked.name} failed: AlgorithmError: users: no data, exit code: 2; correct the cause first"
        in last
    )
    assert last.endswith(f"#/jobs/{asked.name}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ValidationException", InputError),
        ("AccessDeniedException", RemoteError),
        ("ResourceLimitExceeded", RemoteError),
    ],
)
def test_a_refusal_says_what_aws_says(code: str, expected: type[Exception], aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["CreateTrainingJob"] = RefusalError(code, "Could not assume role ncf")
    with pytest.raises(expected, match=f"create_training_job: {code}: Could not assume role ncf"):
        Launch().run(aws, plan())


def test_an_image_in_another_format_is_explained(aws: Aws, sagemaker: FakeSageMaker) -> None:
    message = "Unsupported manifest media type application/vnd.oci.image.index.v1+json for image x"
    sagemaker.refusals["CreateTrainingJob"] = RefusalError("ValidationException", message)
    with pytest.raises(InputError, match=rf"{re.escape(message)}; 'make images push' builds and pushes"):
        Launch().run(aws, plan())


def test_amazon_s_sagemaker_pulls_from_ecr_only(aws: Aws, sagemaker: FakeSageMaker) -> None:
    with pytest.raises(InputError, match=r"train_image.*docker\.io/ncf-train.*ECR"):
        Launch().run(aws, plan(train_image="docker.io/ncf-train:1"))
    assert sagemaker.calls == []


def test_another_service_knows_itself_what_it_can_run(
    sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    aws = sagemaker.attach(Aws(AwsSettings(role=ROLE)))
    assert Launch().run(aws, plan(train_image="ncf-train"))["TrainingJobStatus"] == "Completed"


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch, sagemaker: FakeSageMaker) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(InputError, match="region"):
        Aws(AwsSettings(role=ROLE)).client("sagemaker")


SETTINGS = JobSettings(role=ROLE, train_image=IMAGE)
NAME = job_name(SETTINGS, "run", {"epochs": "1"}, {"dataset": "a", "samples": "b"})


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": SETTINGS.model_copy(update={"instance_count": 2})},
        {"settings": SETTINGS.model_copy(update={"train_image": "other"})},
        {"run": "run-2"},
        {"hyperparameters": {"epochs": "2"}},
        {"fingerprints": {"dataset": "a", "samples": "c"}},
    ],
)
def test_another_job_has_another_name(changed: dict[str, Any]) -> None:
    same: dict[str, Any] = {
        "settings": SETTINGS,
        "run": "run",
        "hyperparameters": {"epochs": "1"},
        "fingerprints": {"dataset": "a", "samples": "b"},
    }
    assert job_name(**same) == NAME
    assert job_name(**{**same, **changed}) != NAME


@pytest.mark.parametrize(
    "same",
    [{"s3_prefix": "s3://b/x"}, {"max_attempts": 3}, {"run_id": "other"}, {"profile": "p"}, {"price_per_hour": 2.0}],
)
def test_where_copies_lie_and_how_often_to_try_is_no_part_of_the_name(same: dict[str, Any]) -> None:
    settings = SETTINGS.model_copy(update=same)
    assert job_name(settings, "run", {"epochs": "1"}, {"dataset": "a", "samples": "b"}) == NAME


@given(prefix=st.from_regex(r"[a-z]([a-z0-9-]{0,80})", fullmatch=True), room=st.integers(0, 5), salt=st.text())
def test_names_fit_sagemaker(prefix: str, room: int, salt: str) -> None:
    name = hashed_name(prefix, {"salt": salt}, room)
    assert len(name) <= MAX_NAME_LENGTH - room
    assert name == hashed_name(prefix, {"salt": salt}, room)
    assert name != hashed_name(prefix, {"salt": salt + "x"}, room)
    assert name[0].isalpha()
    assert name[-1].isalnum()


def test_a_job_that_writes_where_kfp_takes_no_artifact_from_is_refused_before_it_is_waited_for(
    aws: Aws, sagemaker: FakeSageMaker
) -> None:
    """Another try of the run had another pipeline root."""
    aws.call("sagemaker", "create_training_job", **plan("s3://old/ncf/run-1/train/1/trained_model").request(1))
    with pytest.raises(RemoteError, match=r"writes to s3://old/.*under s3://new/ncf/run-1 only; start a new run"):
        Launch().run(aws, plan("s3://new/ncf/run-1/train/2/trained_model"))
    assert sagemaker.operations()[-1] == "DescribeTrainingJob"
    Launch().run(aws, plan("s3://old/ncf/run-1/train/2/trained_model"))
