"""The deploy stage against an AWS account on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_account import BUCKET, ROLE, executor_input, local_account
from random_model import random_model

from components.local.aws.processes import wait_until
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.stage import execution, parsing
from ncf.stages.deploy import Deploy
from ncf.storage import list_objects, upload

PREFIX = f"s3://{BUCKET}/ncf"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def client(account: Any) -> Any:
    return boto3.client("sagemaker")


def write_model(folder: Path, seed: int = 0, broken: bool = False, errs: bool = False) -> Path:
    model = random_model(seed=seed)
    replace(model, history={"broken": broken, "errs": errs}).save(folder, {}, {})
    return folder


def arguments(folder: Path, model: Path | str, *more: str) -> list[str]:
    flags = {
        "model": model,
        "role": ROLE,
        "deploy-image": "registry/ncf-deploy:1",
        "endpoint": folder / "endpoint",
        "target": folder / "target",
        "summary": folder / "summary",
        "metrics": folder / "metrics",
    }
    return [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more]


def test_a_model_outside_s3_is_copied_hosted_and_updated(tmp_path: Path, client: Any) -> None:
    first, second = (write_model(tmp_path / f"model-{seed}", seed) for seed in (1, 2))
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "shop", "--run-id", "run-1", "--bake-time", "0")
    execution.run(Deploy, arguments(tmp_path, first, *flags))
    assert (tmp_path / "endpoint").read_text() == "shop"
    assert json.loads((tmp_path / "metrics").read_text())["smoke_test_users"] == 3
    config = client.describe_endpoint(EndpointName="shop")["EndpointConfigName"]
    assert f"{PREFIX}/{config}/model/manifest.json" in list_objects(f"{PREFIX}/{config}")
    summary = (tmp_path / "summary").read_text()
    for words in (
        "aws sagemaker-runtime invoke-endpoint",
        '{"users":["u0","u4","u8"]',
        config,
    ):
        assert words in summary

    created = client.describe_endpoint(EndpointName="shop")["CreationTime"]
    execution.run(Deploy, arguments(tmp_path, first, *flags))  # a second try of the run
    assert client.describe_endpoint(EndpointName="shop")["EndpointConfigName"] == config

    execution.run(Deploy, arguments(tmp_path, second, *flags))
    updated = client.describe_endpoint(EndpointName="shop")
    assert updated["EndpointConfigName"] != config
    assert updated["CreationTime"] == created


def test_a_model_in_s3_is_hosted_from_there(tmp_path: Path, client: Any) -> None:
    model, uri = write_model(tmp_path / "model", 3), f"s3://{BUCKET}/root/{tmp_path.name}/job/output/model"
    upload(model, uri)
    flags = arguments(tmp_path, model, "--run-id", "run-2", "--smoke-test-users", "0")
    execution.run(Deploy, executor_input(Deploy, flags, tmp_path, {"model": uri}))
    name = (tmp_path / "endpoint").read_text()
    assert name.startswith("ncf-")
    assert json.loads((tmp_path / "metrics").read_text()) == {"smoke_test_users": 0, "smoke_test_seconds": 0.0}
    assert '{"users":["u0"]' in (tmp_path / "summary").read_text()
    hosted = client.describe_model(ModelName=client.describe_endpoint(EndpointName=name)["EndpointConfigName"])
    source = hosted["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}


def test_a_model_that_does_not_come_up_leaves_the_old_one_serving(tmp_path: Path, client: Any) -> None:
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "steady")
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "good", 4), *flags))
    before = client.describe_endpoint(EndpointName="steady")["EndpointConfigName"]
    models = {entry["ModelName"] for entry in client.list_models(MaxResults=100)["Models"]}
    with pytest.raises(RemoteError, match=r"(?s)last log lines:\n.*  \| this model does not load\n[^|]*rolled back"):
        execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "bad", 5, broken=True), *flags))
    after = client.describe_endpoint(EndpointName="steady")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", before)
    assert {entry["ModelName"] for entry in client.list_models(MaxResults=100)["Models"]} == models


def test_a_new_endpoint_that_does_not_come_up_is_removed(tmp_path: Path, client: Any) -> None:
    model = write_model(tmp_path / "bad", 6, broken=True)
    with pytest.raises(RemoteError, match="endpoint gone: Failed"):
        execution.run(Deploy, arguments(tmp_path, model, "--s3-prefix", PREFIX, "--endpoint-name", "gone"))
    names = [entry["EndpointName"] for entry in client.list_endpoints(MaxResults=100)["Endpoints"]]
    assert "gone" not in names
    assert not [name for name in tmp_path.iterdir() if name.name in ("endpoint", "metrics")]
    assert "does not load" in (tmp_path / "summary").read_text()


def test_what_can_be_mended_is_named(tmp_path: Path, account: Any) -> None:
    model = write_model(tmp_path / "model", 7)
    with pytest.raises(InputError, match="'s3_prefix' is empty"):
        execution.run(Deploy, arguments(tmp_path, model))
    (model / "popularity.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"popularity\.npy"):
        execution.run(Deploy, arguments(tmp_path, model, "--s3-prefix", PREFIX))
    with pytest.raises(InputError, match="no such folder"):
        execution.run(Deploy, arguments(tmp_path, tmp_path / "absent", "--s3-prefix", PREFIX))


@pytest.fixture
def traffic() -> Iterator[Callable[[str], list[str]]]:
    """Starts a constant stream of requests to an endpoint; gives the answering versions, '' for each failure."""
    over, threads = threading.Event(), []

    def start(endpoint: str) -> list[str]:
        answers: list[str] = []
        runtime = boto3.client("sagemaker-runtime")

        def ask() -> None:
            while not over.wait(0.01):
                try:
                    body = runtime.invoke_endpoint(EndpointName=endpoint, Body='{"users": ["u0"], "k": 1}')["Body"]
                    answers.append(json.loads(body.read())["model_version"])
                except ClientError:
                    answers.append("")

        threads.append(threading.Thread(target=ask, daemon=True))
        threads[-1].start()
        return answers

    yield start
    over.set()
    for thread in threads:
        thread.join(5)


def test_a_model_that_answers_5xx_is_taken_back_by_its_alarm(tmp_path: Path, client: Any, traffic: Any) -> None:
    good, bad = write_model(tmp_path / "good", 7), write_model(tmp_path / "errs", 8, errs=True)
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "guarded")
    execution.run(Deploy, arguments(tmp_path, good, *flags, "--run-id", "good"))
    before = client.describe_endpoint(EndpointName="guarded")["EndpointConfigName"]
    answers = traffic("guarded")
    shift = ("--traffic-shift", "canary", "--shift-percent", "20", "--bake-time", "3")
    with pytest.raises(RemoteError, match=r"rolled back.*guarded-errors.*Invocation5XXErrors") as caught:
        execution.run(Deploy, arguments(tmp_path, bad, *flags, *shift, "--run-id", "bad"))
    assert "Invocation5XXErrors" in caught.value.report
    assert client.describe_endpoint(EndpointName="guarded")["EndpointConfigName"] == before
    assert 0 < answers.count("") < 0.4 * len(answers)
    asked = len(answers)
    assert wait_until(lambda: len(answers) > asked + 20, 5)
    assert "" not in answers[asked + 2 :], "the old model has all the traffic again"
    names = [entry["ModelName"] for entry in client.list_models(NameContains="guarded-")["Models"]]
    assert names == [before]


def test_a_good_update_loses_no_request(tmp_path: Path, client: Any, traffic: Any) -> None:
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "smooth", "--bake-time", "1", "--traffic-shift", "linear")
    more = ("--shift-percent", "50", "--max-instance-count", "3")
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "1", 1), *flags, *more, "--run-id", "1"))
    answers = traffic("smooth")
    assert wait_until(lambda: len(answers) > 10, 5)
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "2", 2), *flags, *more, "--run-id", "2"))
    assert "" not in answers
    assert len(set(answers)) == 2
    targets = boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    (target,) = targets["ScalableTargets"]
    assert (target["ResourceId"], target["MaxCapacity"]) == ("endpoint/smooth/variant/AllTraffic", 3)


def test_a_serverless_endpoint_serves_an_archive(tmp_path: Path, client: Any) -> None:
    more = ("--serverless-memory", "2048", "--network-isolation", "false", "--endpoint-name", "serverless")
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "model"), "--s3-prefix", PREFIX, *more))
    described = client.describe_endpoint(EndpointName="serverless")
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048
    version = described["EndpointConfigName"]
    assert list_objects(f"{PREFIX}/{version}") == [f"{PREFIX}/{version}/model.tar.gz"]


def test_overrides_reach_the_endpoint(tmp_path: Path, client: Any) -> None:
    more = ("--endpoint-name", "overridden", "--deploy-overrides", '{"smoke_test_users": 1, "keep_versions": 5}')
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "model"), "--s3-prefix", PREFIX, *more))
    assert json.loads((tmp_path / "metrics").read_text())["smoke_test_users"] == 1
    with pytest.raises(InputError, match=r"deploy_overrides.*'keep_version'.*did you mean keep_versions"):
        parsing.parse(Deploy, arguments(tmp_path, "x", "--deploy-overrides", '{"keep_version": 5}'))
    with pytest.raises(InputError, match=r"deploy_overrides': 'bake_time' is -1"):
        parsing.parse(Deploy, arguments(tmp_path, "x", "--deploy-overrides", '{"bake_time": -1}'))


FLAGS = ("--s3-prefix", PREFIX, "--bake-time", "0")


@pytest.fixture
def target() -> Callable[[str], tuple[int, int] | None]:
    """Finds the limits of an endpoint's autoscaling; None without."""
    scaling = boto3.client("application-autoscaling")

    def find(endpoint: str) -> tuple[int, int] | None:
        resource = f"endpoint/{endpoint}/variant/AllTraffic"
        found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])
        return next(((each["MinCapacity"], each["MaxCapacity"]) for each in found["ScalableTargets"]), None)

    return find


@pytest.mark.parametrize("is_good", [True, False], ids=["good", "bad"])
def test_a_retry_of_a_killed_pod_continues_its_update_to_other_instances(
    is_good: bool, tmp_path: Path, account: Any, client: Any, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{'good' if is_good else 'bad'}"
    scaled = (*FLAGS, "--endpoint-name", name, "--max-instance-count", "2")
    execution.run(Deploy, arguments(tmp_path, write_model(tmp_path / "1", 1), *scaled, "--run-id", "1"))
    before = client.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    model = write_model(tmp_path / "2", 2, errs=not is_good)
    larger = (*scaled[:-1], "5", "--endpoint-instance-type", "ml.c5.xlarge", "--run-id", "2")
    account.faults.add("hold", name, state="Updating", seconds=1.0)
    settled = Endpoint.settled

    def killed(self: Endpoint, *given: Any, **more: Any) -> Any:
        if client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating":
            raise SystemExit(137)
        return settled(self, *given, **more)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Endpoint, "settled", killed)
        execution.run(Deploy, arguments(tmp_path, model, *larger))
    updating = client.describe_endpoint(EndpointName=name)
    assert (updating["EndpointStatus"], updating["EndpointConfigName"]) == ("Updating", before)
    assert target(name) is None
    if is_good:
        execution.run(Deploy, arguments(tmp_path, model, *larger))
    else:
        with pytest.raises(RemoteError, match="InvokeEndpoint|invoke_endpoint"):
            execution.run(Deploy, arguments(tmp_path, model, *larger))
    after = client.describe_endpoint(EndpointName=name)
    expected = updating["PendingDeploymentSummary"]["EndpointConfigName"] if is_good else before
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", expected)
    assert target(name) == ((1, 5) if is_good else (1, 2))


def test_what_is_seen_late_or_broken_off_fails_no_deployment(tmp_path: Path, account: Any, client: Any) -> None:
    flags = (*FLAGS, "--endpoint-name", "late")
    for name, states in (("1", ("Creating", "CreateEndpoint")), ("2", ("Updating", "UpdateEndpoint"))):
        account.faults.add("hold", "late", state=states[0], seconds=0.5)
        for operation in ("CreateEndpointConfig", states[1], "DescribeEndpoint", "InvokeEndpoint"):
            account.faults.add("late", operation)
        account.faults.add("refuse", "InvokeEndpoint", error="cut")
        model = write_model(tmp_path / name, int(name))
        execution.run(Deploy, arguments(tmp_path, model, *flags, "--run-id", name))
        assert account.faults.coming() == []
    assert client.describe_endpoint(EndpointName="late")["EndpointStatus"] == "InService"
