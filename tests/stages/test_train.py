"""The train stage against an AWS account on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from local_account import BUCKET, ROLE, executor_input, local_account
from model_packages import clients, new_group, new_package, specification
from warm_python import shared_python

from ncf.artifacts import manifest
from ncf.aws import ecr
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.settings import AwsSettings
from ncf.stage import execution, parsing
from ncf.stages.train import Train
from ncf.storage import list_objects, upload
from ncf.training.hyperparameters import Hyperparameters

PREFIX = f"s3://{BUCKET}/ncf"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@dataclass
class Pod:
    """A folder in which the stage runs, with its inputs."""

    folder: Path
    dataset: Path
    samples: Path

    def arguments(self, *more: str, output: str = "out") -> list[str]:
        path = self.folder / output
        flags = {
            "dataset": self.dataset,
            "samples": self.samples,
            "role": ROLE,
            "train-image": "registry/ncf-train:1",
            "trained-model": path / "trained_model",
            "model-uri": path / "model_uri",
            "metrics": path / "metrics",
            "summary": path / "summary",
        }
        return [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more]

    def read(self, name: str, output: str = "out") -> str:
        return (self.folder / output / name).read_text()


@pytest.fixture
def pod(tmp_path: Path, make_dataset: Callable[..., Path], account: Any) -> Pod:
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "test.npy").write_bytes(tmp_path.name.encode())
    manifest.write(samples, "samples", {}, {}, {})
    return Pod(tmp_path, make_dataset(), samples)


def jobs_of(run: str) -> list[dict[str, Any]]:
    """Descriptions of the jobs that carry the run's tag."""
    client = boto3.client("sagemaker")
    names = [entry["TrainingJobName"] for entry in client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]]
    described = [client.describe_training_job(TrainingJobName=name) for name in names]
    return [job for job in described if run in job["HyperParameters"]["seed"]]


def test_artifacts_outside_s3_are_copied(
    pod: Pod, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "11"))
    (job,) = jobs_of("11")
    name = job["TrainingJobName"]
    assert job["OutputDataConfig"]["S3OutputPath"] == f"{PREFIX}/{name}/trained_model"
    copied = {uri.removeprefix(f"{PREFIX}/{name}/") for uri in list_objects(f"{PREFIX}/{name}")}
    assert {"dataset/manifest.json", "samples/manifest.json", "samples/test.npy"} <= copied
    assert f"trained_model/{name}/output/model/history.json" in copied
    assert manifest.read(pod.folder / "out" / "trained_model", "model")["counts"] == {"users": 3}
    assert json.loads(pod.read("metrics"))["validation_hr_at_10"] == 0.6
    assert "Completed" in pod.read("summary")
    assert f"# {name}\n" in pod.read("summary"), "no console shows what the stand-in holds"
    assert capfd.readouterr().out.count("fit=selection epoch=1 loss=0.5000\n") == 1
    before = caplog.text.partition("is started")[0]
    assert "a third fit, on all positives" in before, "what it costs is said before the job"
    assert "forecast: train: " in before
    assert "no price: AWS's price list has none" in before
    assert "extrapolated: no GPU was measured" in before
    counts = manifest.read(pod.dataset, "dataset")["counts"]
    assert f"{counts['users']} users and {counts['items']} items" in before


def test_the_forecast_uses_the_speed_of_an_earlier_job_on_the_same_instances(
    pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "91"))
    (job,) = jobs_of("91")
    model = pod.folder / "earlier"
    model.mkdir()
    history = {"hyperparameters": Hyperparameters().model_dump(mode="json"), "samples_per_second": 100.0}
    (model / "history.json").write_text(json.dumps(history))
    manifest.write(model, "model", {}, {}, {"training_job": job["TrainingJobName"]})
    uri = f"s3://{BUCKET}/speed/{pod.folder.name}"
    upload(model, uri)
    aws = clients()
    group = new_group(aws, "speed")
    new_package(aws, group, "Approved", InferenceSpecification=specification(uri))
    arguments = ("--s3-prefix", PREFIX, "--champion-group", "speed")
    execution.run(Train, pod.arguments(*arguments, "--seed", "92", output="same"))
    said = "train is computed with the speed of the model of approved package speed version 1"
    assert caplog.text.count(said) == 1
    execution.run(Train, pod.arguments(*arguments, "--seed", "93", "--instance-type", "ml.m5.xlarge", output="other"))
    assert caplog.text.count(said) == 1, "another instance type has another speed"


def test_a_retry_does_not_forecast_a_job_that_is_there(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    arguments = ("--s3-prefix", PREFIX, "--seed", "94", "--run-id", "run-once")
    for output in ("first", "second"):
        execution.run(Train, pod.arguments(*arguments, output=output))
    assert caplog.text.count("forecast: train: ") == 1


def test_an_earlier_model_is_a_channel_of_its_own(pod: Pod) -> None:
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "17"))
    earlier = str(pod.folder / "out" / "trained_model")
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "17", "--warm-start", earlier, output="warm"))
    cold, warm = sorted(jobs_of("17"), key=lambda job: len(job["InputDataConfig"]))
    assert cold["TrainingJobName"] != warm["TrainingJobName"], "another start is another job"
    (channel,) = (entry for entry in warm["InputDataConfig"] if entry["ChannelName"] == "warm_start")
    uri = f"{PREFIX}/{warm['TrainingJobName']}/warm_start"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"{uri}/"
    assert f"{uri}/manifest.json" in list_objects(uri)


def warm_starts(run: str) -> list[str]:
    """URI of the model that each job of a seed starts from; '' for none."""
    channels = [
        {entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in job["InputDataConfig"]}
        for job in jobs_of(run)
    ]
    return [entry.get("warm_start", "") for entry in channels]


def test_the_champion_is_the_live_model_and_a_retry_keeps_its_job(pod: Pod) -> None:
    """Also if another model goes live between both tries."""
    arguments = ("--s3-prefix", PREFIX, "--seed", "19", "--warm-start", "champion", "--champion-group", "warm")
    aws = clients()
    group = new_group(aws, "warm")
    execution.run(Train, pod.arguments(*arguments, "--run-id", "run-a", output="cold"))
    assert warm_starts("19") == [""], "no champion yet"
    uri = f"s3://{BUCKET}/earlier-{pod.folder.name}"
    upload(pod.folder / "cold" / "trained_model", uri)
    source = {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": {"S3DataSource": source}}
    new_package(aws, group, "Approved", InferenceSpecification={"Containers": [container]})
    execution.run(Train, pod.arguments(*arguments, "--run-id", "run-a", output="again"))
    assert warm_starts("19") == [""], "the retry of a run attaches to its job"
    execution.run(Train, pod.arguments(*arguments, "--run-id", "run-b", output="warm"))
    assert sorted(warm_starts("19")) == ["", f"{uri}/"]
    (job,) = [job for job in jobs_of("19") if job["Environment"]["NCF_RUN_ID"] == "run-b"]
    assert job["Environment"]["NCF_WARM_START_URI"] == uri


@pytest.mark.parametrize(
    ("seed", "before", "now", "said"),
    [
        ("27", ("gmf",), ("neumf",), "'model' is neumf, the earlier model's is gmf"),
        ("28", ("gmf", "--factors", "8"), ("gmf", "--factors", "16"), "'factors' is 16, the earlier model's is 8"),
    ],
)
def test_a_champion_of_another_architecture_buys_no_job(
    seed: str, before: tuple[str, ...], now: tuple[str, ...], said: str, pod: Pod
) -> None:
    arguments = ("--s3-prefix", PREFIX, "--model")
    execution.run(Train, pod.arguments("--seed", "26", *arguments, *before, output=f"before-{seed}"))
    uri = f"s3://{BUCKET}/before-{seed}"
    upload(pod.folder / f"before-{seed}" / "trained_model", uri)
    aws = clients()
    new_package(aws, new_group(aws, f"other-{seed}"), "Approved", InferenceSpecification=specification(uri))
    for start in (("champion", "--champion-group", f"other-{seed}"), (uri,)):
        with pytest.raises(InputError, match=f"'warm_start': {said}; a warm start needs the same architecture"):
            execution.run(Train, pod.arguments("--seed", seed, *arguments, *now, "--warm-start", *start, output=seed))
    assert not jobs_of(seed)


def test_a_champion_in_an_archive_is_unpacked(pod: Pod) -> None:
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "22"))
    with tarfile.open(pod.folder / "model.tar.gz", "w:gz") as archive:
        for path in (pod.folder / "out" / "trained_model").iterdir():
            archive.add(path, path.name)
    uri = f"s3://{BUCKET}/archives/{pod.folder.name}.tar.gz"
    upload(pod.folder / "model.tar.gz", uri)
    aws = clients()
    container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataUrl": uri}
    new_package(aws, new_group(aws, "packed"), "Approved", InferenceSpecification={"Containers": [container]})
    arguments = ("--s3-prefix", PREFIX, "--seed", "23", "--warm-start", "champion", "--champion-group", "packed")
    execution.run(Train, pod.arguments(*arguments, output="warm"))
    (job,) = jobs_of("23")
    assert warm_starts("23") == [f"{PREFIX}/{job['TrainingJobName']}/warm_start/"]
    assert job["Environment"]["NCF_WARM_START_URI"] == uri


def test_a_champion_that_nothing_names_is_an_error(pod: Pod) -> None:
    with pytest.raises(InputError, match="'warm_start' is 'champion', but neither 'champion_endpoint' nor"):
        execution.run(Train, pod.arguments("--seed", "24", "--train-overrides", '{"warm_start": "champion"}'))
    assert not jobs_of("24")


def test_a_start_from_two_things_buys_no_job(pod: Pod) -> None:
    both = ("--model", "neumf", "--pretrain", "true", "--warm-start", "s3://bucket/model")
    with pytest.raises(InputError, match="'warm_start' and 'pretrain' are both set"):
        execution.run(Train, pod.arguments("--seed", "18", *both))
    assert not jobs_of("18")


def test_artifacts_in_s3_stay_there(pod: Pod) -> None:
    root = f"s3://{BUCKET}/root/{pod.folder.name}"
    uris = {name: f"{root}/{name}" for name in ("dataset", "samples")}
    for name, uri in uris.items():
        upload(getattr(pod, name), uri)
    before = set(list_objects(root))
    outputs = {name: f"{root}/train/{name}" for name in ("trained_model", "metrics", "summary")}
    execution.run(Train, executor_input(Train, pod.arguments("--seed", "12"), pod.folder, {**uris, **outputs}))
    (job,) = jobs_of("12")
    channels = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"] for entry in job["InputDataConfig"]}
    assert job["Environment"]["NCF_DATASET_URI"] == uris["dataset"], "the model's manifest says where its data set lies"
    assert {name: channel["S3Uri"] for name, channel in channels.items()} == {
        name: f"{uri}/" for name, uri in uris.items()
    }
    model = f"{root}/train/trained_model/{job['TrainingJobName']}/output/model"
    written = json.loads((pod.folder / "executor_output.json").read_text())["artifacts"]
    assert written["trained_model"]["artifacts"][0]["uri"] == model
    assert written["metrics"]["artifacts"][0]["metadata"]["validation_ndcg_at_10"] == 0.3
    assert not (pod.folder / "out" / "trained_model").exists(), "KFP would upload it"
    assert set(list_objects(root)) - before == {f"{model}/{file}" for file in ("history.json", "manifest.json")}


def test_the_job_runs_the_image_of_a_digest_and_the_model_names_it(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    image = f"registry/ncf-train@sha256:{'0' * 64}"
    monkeypatch.setattr(ecr, "pinned", lambda *_: image)
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "31"))
    (job,) = jobs_of("31")
    assert job["AlgorithmSpecification"]["TrainingImage"] == job["Environment"]["NCF_IMAGE"] == image


def test_s3_uris_work_on_the_command_line(pod: Pod) -> None:
    root = f"s3://{BUCKET}/cli/{pod.folder.name}"
    upload(pod.dataset, f"{root}/dataset")
    arguments = pod.arguments("--s3-prefix", PREFIX, "--seed", "41", "--dataset", f"{root}/dataset")
    execution.run(Train, arguments)
    assert (pod.folder / "out" / "trained_model" / "history.json").is_file()


def test_a_second_try_of_a_run_buys_no_second_job(pod: Pod) -> None:
    arguments = ("--s3-prefix", PREFIX, "--seed", "14", "--run-id", "run-14")
    for output in ("first", "second"):
        execution.run(Train, pod.arguments(*arguments, output=output))
    assert len(jobs_of("14")) == 1
    assert pod.read("summary", "first") == pod.read("summary", "second")
    assert (pod.folder / "second" / "trained_model" / "history.json").is_file()


def test_without_a_prefix_nothing_is_copied_or_started(pod: Pod) -> None:
    with pytest.raises(InputError, match=r"'s3_prefix' is empty: 'dataset' is at /.*SageMaker reads only S3"):
        execution.run(Train, pod.arguments("--seed", "15"))
    assert jobs_of("15") == []


def test_a_failed_job_says_why(pod: Pod) -> None:
    with pytest.raises(RemoteError, match=r"(?s)\| fit=selection epoch=1.*failed:.*users: there are none"):
        execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "16", "--epochs", "13"))
    assert [path.name for path in (pod.folder / "out").iterdir()] == ["summary"]
    assert "users: there are none" in pod.read("summary")
    assert "- loss: 0.5000" in pod.read("summary")


def test_a_pod_prints_the_report_of_a_failure(
    pod: Pod, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task that failed KFP shows the log alone, which it keeps as an artifact."""
    monkeypatch.setenv("KFP_POD_NAME", "ncf-x-1")
    flags = pod.arguments("--s3-prefix", PREFIX, "--seed", "161", "--epochs", "13")
    with pytest.raises(RemoteError, match="users: there are none"):
        execution.run(Train, executor_input(Train, flags, pod.folder, {}))
    assert "| status | Failed |" in capsys.readouterr().out


def test_what_sagemaker_would_refuse_buys_no_job_and_copies_nothing(pod: Pod) -> None:
    overrides = json.dumps({"vpc_subnets": "subnet 1", "vpc_security_group_ids": "sg-1"})
    with pytest.raises(InputError, match="parameter 'vpc_subnets' is 'subnet 1': AWS accepts what matches"):
        execution.run(Train, pod.arguments("--s3-prefix", f"{PREFIX}/bounds", "--train-overrides", overrides))
    assert list_objects(f"{PREFIX}/bounds") == []


def test_damaged_data_buy_no_job(pod: Pod) -> None:
    (pod.samples / "test.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"test\.npy"):
        execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "18"))
    assert jobs_of("18") == []


def test_sigterm_stops_the_job(pod: Pod) -> None:
    arguments = pod.arguments("--s3-prefix", PREFIX, "--seed", "42", "--epochs", "999")
    process = subprocess.Popen(
        [str(shared_python()), "-m", "ncf", "train", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    assert "epoch=1" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    while jobs_of("42")[0]["TrainingJobStatus"] == "InProgress":
        assert time.monotonic() - start < 2
        time.sleep(0.05)
    assert process.wait(10) == 143
    assert jobs_of("42")[0]["TrainingJobStatus"] in ("Stopping", "Stopped")
    process.stdout.close()


def test_a_role_can_be_assumed_to_call_sagemaker(account: Any) -> None:
    caller = "arn:aws:iam::123456789012:role/launcher"
    aws = Aws(AwsSettings(role=ROLE, assume_role=caller))
    assert "assumed-role/launcher/ncf" in aws.call("sts", "get_caller_identity")["Arn"]
    assert "assumed-role" not in Aws(AwsSettings(role=ROLE)).call("sts", "get_caller_identity")["Arn"]


def test_overrides_reach_the_job(pod: Pod) -> None:
    overrides = json.dumps({"tower": [64.0, 32.0], "factors": 4.0, "model": "gmf"})
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "20", "--train-overrides", overrides))
    given = jobs_of("20")[0]["HyperParameters"]
    assert (given["tower"], given["factors"], given["model"]) == ("[64, 32]", "4", "gmf")
    assert given["epochs"] == str(Hyperparameters().epochs)
    assert not {"role", "region", "train_overrides"} & set(given)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"epoch": 3}, r"'train_overrides' has 'epoch'.*did you mean epochs"),
        ({"epochs": 0}, r"'train_overrides': 'epochs' is 0: .*greater than or equal to 1"),
        ({"tower": [3]}, r"'train_overrides': .*'tower' is \[3\]"),
        ({"model": "svd"}, r"'train_overrides': 'model' is 'svd'.*'neumf'"),
    ],
)
def test_bad_overrides_are_named(overrides: dict[str, Any], words: str, tmp_path: Path) -> None:
    arguments = Pod(tmp_path, tmp_path, tmp_path).arguments("--train-overrides", json.dumps(overrides))
    with pytest.raises(InputError, match=words):
        parsing.parse(Train, arguments)


CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different instance."


def test_a_capacity_error_is_reported_and_another_attempt_may_do_better(pod: Pod, account: Any) -> None:
    account.faults.add("fail", "ncf-train", state="Starting", reason=CAPACITY)
    with pytest.raises(RemoteError, match=r"training job ncf-train-.*Unable to provision") as caught:
        execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "31", "--max-attempts", "1"))
    assert "CapacityError" in caught.value.report
    assert "CapacityError" in pod.read("summary")
    account.faults.add("fail", "ncf-train", state="Starting", reason=CAPACITY)
    execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "32", output="second"))
    failed, completed = sorted(jobs_of("32"), key=lambda job: job["CreationTime"])
    assert (failed["TrainingJobStatus"], completed["TrainingJobStatus"]) == ("Failed", "Completed")
    assert completed["TrainingJobName"] == failed["TrainingJobName"] + "-2"


def test_a_job_that_somebody_stops_is_reported(pod: Pod, account: Any) -> None:
    account.faults.add("hold", "ncf-train", state="Starting", seconds=20)

    def stop() -> None:
        while not jobs_of("33"):
            time.sleep(0.05)
        boto3.client("sagemaker").stop_training_job(TrainingJobName=jobs_of("33")[0]["TrainingJobName"])

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(RemoteError, match=r"stopped: Stopped; it was stopped by a user, and .* start a new run$"):
        execution.run(Train, pod.arguments("--s3-prefix", PREFIX, "--seed", "33", "--max-attempts", "3"))
    assert len(jobs_of("33")) == 1


def test_two_pods_of_a_run_that_race_buy_one_job(pod: Pod) -> None:
    arguments = ("--s3-prefix", PREFIX, "--seed", "34", "--run-id", "raced")
    pods = [
        subprocess.Popen(
            [str(shared_python()), "-m", "ncf", "train", *pod.arguments(*arguments, output=f"pod-{number}")]
        )
        for number in range(2)
    ]
    assert [process.wait(60) for process in pods] == [0, 0]
    assert len(jobs_of("34")) == 1
    assert pod.read("metrics", "pod-0") == pod.read("metrics", "pod-1")


def test_a_launcher_that_had_to_leave_is_followed_by_one_that_goes_on(pod: Pod) -> None:
    arguments = ("--s3-prefix", PREFIX, "--seed", "35", "--run-id", "left")
    process = subprocess.Popen(
        [str(shared_python()), "-m", "ncf", "train", *pod.arguments(*arguments, "--epochs", "999")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    assert "epoch=1" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    process.stdout.close()
    process = subprocess.Popen(
        [str(shared_python()), "-m", "ncf", "train", *pod.arguments(*arguments, "--epochs", "999", output="second")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    while "another job is started" not in said:
        said = process.stderr.readline()
        assert said
    deadline = time.monotonic() + 10
    while len(found := jobs_of("35")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    first, second = sorted(found, key=lambda job: job["CreationTime"])
    assert second["TrainingJobName"] == first["TrainingJobName"] + "-2"
