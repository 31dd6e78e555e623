"""Several models on one endpoint: the deploy stage and the container's own program, against an account on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.exceptions import ClientError
from local_account import BUCKET, ROLE, local_account
from random_model import random_model
from readmes import ROOT, blocks
from shop import KilledError, Shop, kill_after

from ncf.artifacts.manifest import version_of
from ncf.aws import session
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError
from ncf.operators.rollback import Rollback
from ncf.sagemaker.hosting.deployed_model import deployed_model
from ncf.sagemaker.hosting.experiment import ExperimentHost
from ncf.sagemaker.hosting.multi_model import Live, SharedModels
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.sagemaker.staging import upload_archive
from ncf.serving.recommender import Recommender
from ncf.stage import execution
from ncf.stages.deploy import Deploy
from ncf.storage import delete_objects, list_objects, upload

SERVE = Path(__file__).parents[2] / "images" / "deploy" / "serve"
PREFIX, ENDPOINT = f"s3://{BUCKET}/ncf", "markets"
MODELS = SharedModels.of(PREFIX, ENDPOINT)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account"), SERVE) as aws:
        yield aws


@pytest.fixture(scope="module")
def client(account: Any) -> Any:
    return boto3.client("sagemaker")


def write_model(folder: Path, seed: int) -> Path:
    random_model(seed=seed).save(folder, {}, {})
    return folder


def deploy(folder: Path, model: Path, target: str, *more: str, endpoint: str = ENDPOINT) -> str:
    """Deploy a model; returns the ``TargetModel``."""
    flags = {
        "model": model,
        "role": ROLE,
        "deploy-image": "registry/ncf-deploy:1",
        "endpoint-name": endpoint,
        "target-model": target,
        "s3-prefix": PREFIX,
        "bake-time": 0,
        **{name: folder / name for name in ("endpoint", "target", "summary", "metrics")},
    }
    execution.run(Deploy, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])
    return (folder / "target").read_text()


def ask(target: str, endpoint: str = ENDPOINT) -> str:
    """The version of the model that answers."""
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, TargetModel=target, Body='{"users": ["u0"]}', ContentType="application/json"
    )
    return str(json.loads(answer["Body"].read())["model_version"])


@pytest.fixture(scope="module")
def two(account: Any, client: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """``TargetModel`` of two markets on the endpoint."""
    folder = tmp_path_factory.mktemp("two")
    models = {name: write_model(folder / name, seed) for seed, name in enumerate(("de", "fr"), 1)}
    return {name: deploy(folder, model, name, "--run-id", f"run-{name}") for name, model in models.items()}


def test_models_share_an_endpoint_that_belongs_to_no_run(two: dict[str, str], client: Any) -> None:
    state = client.describe_endpoint(EndpointName=ENDPOINT)
    model = client.describe_model(ModelName=state["EndpointConfigName"])
    assert model["PrimaryContainer"]["Mode"] == "MultiModel"
    assert model["PrimaryContainer"]["ModelDataUrl"] == f"{PREFIX}/{ENDPOINT}/models/"
    assert len(client.list_models(NameContains=ENDPOINT)["Models"]) == 1
    tags = {tag["Key"] for tag in client.list_tags(ResourceArn=state["EndpointArn"])["Tags"]}
    assert "ncf:run" not in tags
    assert two["de"].startswith("de/")
    assert two["de"].endswith(".tar.gz")
    assert ask(two["de"]) == two["de"][len("de/") : -len(".tar.gz")]
    assert len({ask(target) for target in two.values()}) == 2


def test_the_summary_names_the_target_in_its_requests(tmp_path: Path, two: dict[str, str]) -> None:
    target = deploy(tmp_path, write_model(tmp_path / "model", 1), "de")
    assert target == two["de"], "the same model again"
    summary = (tmp_path / "summary").read_text()
    assert f"--endpoint-name {ENDPOINT} --target-model {target}" in summary
    assert f"TargetModel={target!r}" in summary
    assert f"{PREFIX}/{ENDPOINT}/live/de.json" in summary
    code = summary.partition("```python\n")[2].partition("```")[0]
    exec(code, {})  # the sample request runs


def test_the_client_of_the_readme(two: dict[str, str]) -> None:
    (text,) = [
        block.content for block in blocks(ROOT / "ncf/sagemaker/README.md") if "BUCKET, LIVE = " in block.content
    ]
    client: dict[str, Any] = {}
    exec(text.replace("my-bucket", BUCKET).replace("ncf-markets", ENDPOINT), client)
    for seed, name in enumerate(("de", "fr"), 1):
        target = client["target_model"](name)
        assert target == two[name]
        assert (
            client["recommend"](target, "u1", 3)
            == Recommender(random_model(seed=seed)).recommend(["u1"], 3)[0]["items"]
        )


def test_a_new_version_and_the_way_back(
    tmp_path: Path, two: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    new = deploy(tmp_path, write_model(tmp_path / "model", 3), "de")
    assert new != two["de"]
    assert MODELS.live("de") == Live(target_model=new, previous=[two["de"]])
    assert MODELS.live("fr") == Live(target_model=two["fr"])
    assert {ask(target) for target in (new, two["de"], two["fr"])} == {
        target.partition("/")[2].partition(".")[0] for target in (new, two["de"], two["fr"])
    }
    execution.run(Rollback, [ENDPOINT, "--target-model", "de", "--region", "us-east-1"])
    assert f"names {two['de']} again, in place of {new}" in capsys.readouterr().out
    assert MODELS.live("de") == Live(target_model=two["de"])
    with pytest.raises(InputError, match="no archive of an older version"):
        execution.run(Rollback, [ENDPOINT, "--target-model", "de", "--region", "us-east-1"])


def test_a_rollback_skips_archives_that_are_gone(tmp_path: Path, two: dict[str, str]) -> None:
    versions = [deploy(tmp_path, write_model(tmp_path / f"model-{seed}", seed), "it") for seed in (4, 5, 6)]
    delete_objects(MODELS.uri(versions[1]))
    assert MODELS.roll_back("it") == (versions[2], versions[0])
    with pytest.raises(InputError, match="there is no such model"):
        MODELS.roll_back("absent")


def test_a_model_that_fails_the_smoke_test_leaves_the_others_and_its_own_live_version(
    tmp_path: Path, two: dict[str, str], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, live = client.describe_endpoint(EndpointName=ENDPOINT), MODELS.live("fr")

    def fault(*_: Any) -> str:
        return "wrong items"

    monkeypatch.setattr(SmokeTest, "_fault", fault)
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(tmp_path, write_model(tmp_path / "model", 7), "fr")
    after = client.describe_endpoint(EndpointName=ENDPOINT)
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert after["EndpointStatus"] == "InService"
    assert MODELS.live("fr") == live
    assert ask(two["de"])


def test_a_model_that_takes_long_to_load_is_waited_for(
    tmp_path: Path, two: dict[str, str], account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PAUSE_SECONDS", (0.01, 0.02))
    account.faults.add("refuse", "InvokeEndpoint", error="ModelNotReadyException", times=3)
    assert ask(deploy(tmp_path, write_model(tmp_path / "model", 12), "slow"))
    assert account.faults.coming() == []


def test_a_hostile_archive_fails_alone(tmp_path: Path, two: dict[str, str]) -> None:
    (tmp_path / "bad").write_bytes(b"no archive")
    upload(tmp_path / "bad", MODELS.uri("evil/1.tar.gz"))
    with pytest.raises(ClientError, match="cannot be unpacked"):
        ask("evil/1.tar.gz")
    model = write_model(tmp_path / "model", 8)
    (model / "popularity.npy").write_bytes(b"cos\nsystem\n")
    upload_archive(model, MODELS.uri("evil/2.tar.gz"))
    with pytest.raises(ClientError, match=r"ModelError.*popularity\.npy"):
        ask("evil/2.tar.gz")
    assert ask(two["de"])


def test_a_new_endpoint_whose_first_model_fails_is_deleted(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SmokeTest, "_fault", lambda *_: "wrong items")
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(tmp_path, write_model(tmp_path / "model", 9), "de", endpoint="fresh")
    assert "fresh" not in [entry["EndpointName"] for entry in client.list_endpoints()["Endpoints"]]
    assert SharedModels.of(PREFIX, "fresh").live("de") is None


def test_other_settings_update_the_endpoint_and_keep_its_models(
    tmp_path: Path, two: dict[str, str], client: Any
) -> None:
    before = client.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    target = deploy(tmp_path, write_model(tmp_path / "model", 10), "es", "--endpoint-instance-type", "ml.m5.xlarge")
    assert client.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"] != before
    assert len({ask(each) for each in (target, *two.values())}) == 3


def test_two_first_models_at_once_share_one_endpoint(tmp_path: Path, client: Any) -> None:
    folders = [tmp_path / name for name in ("nl", "be")]
    for seed, folder in enumerate(folders, 20):
        folder.mkdir()
        write_model(folder / "model", seed)
    with ThreadPoolExecutor() as pool:
        targets = list(pool.map(lambda folder: deploy(folder, folder / "model", folder.name, endpoint="pair"), folders))
    assert len({ask(target, "pair") for target in targets}) == 2
    assert len(client.list_models(NameContains="pair")["Models"]) == 1


def test_an_endpoint_keeps_its_kind_and_its_prefix(tmp_path: Path, two: dict[str, str]) -> None:
    model = write_model(tmp_path / "model", 11)
    with pytest.raises(InputError, match="endpoint markets hosts several models"):
        deploy(tmp_path, model, "")
    with pytest.raises(InputError, match=r"parameter 's3_prefix'.*has its models in s3://ncf-test/ncf/markets/models"):
        deploy(tmp_path, model, "de", "--s3-prefix", f"s3://{BUCKET}/elsewhere")
    deploy(tmp_path, model, "", endpoint="alone")
    assert (tmp_path / "target").read_text() == ""
    with pytest.raises(InputError, match="endpoint alone has one model"):
        deploy(tmp_path, model, "de", endpoint="alone")
    with pytest.raises(InputError, match="there is no multi-model endpoint 'alone'"):
        execution.run(Rollback, ["alone", "--target-model", "de", "--region", "us-east-1"])


def test_it_is_no_champion_and_has_no_experiments(two: dict[str, str]) -> None:
    aws = Aws(AwsAccess(region="us-east-1"))
    assert "hosts several models" in deployed_model(aws, ENDPOINT).absence
    with pytest.raises(InputError, match="hosts several models; an experiment needs an endpoint of one model"):
        ExperimentHost(aws, ENDPOINT, 60).start("arn:aws:x", 0.5, lambda: None, lambda _: None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--endpoint-name", ""), "'endpoint_name' is empty"),
        (("--s3-prefix", ""), "'s3_prefix' is empty"),
        (("--serverless-memory", "2048", "--network-isolation", "false"), "is not serverless; set it to 0"),
        (("--data-capture-s3-uri", "s3://b/c"), "captures no data"),
        (("--target-model", "a/b"), "letters, digits and hyphens"),
    ],
)
def test_what_sagemaker_refuses_is_refused_at_once(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        deploy(tmp_path, tmp_path, "de", *flags)


def test_a_damaged_record_is_named(tmp_path: Path, account: Any) -> None:
    models = SharedModels.of(PREFIX, "other")
    (tmp_path / "live").write_text("[]")
    upload(tmp_path / "live", models.live_uri("de"))
    with pytest.raises(InputError, match=r"live/de\.json: expected JSON with 'target_model'"):
        models.set_live("de", "de/1.tar.gz")
    assert list_objects(models.archives) == []


def test_a_package_on_a_multi_model_endpoint(account: Any, tmp_path: Path) -> None:
    """Its archive is added only while the package is approved, and is live only if it still is after the smoke test."""
    shop = Shop.open("several", tmp_path)
    first, second = shop.register(1), shop.register(2, PENDING)
    models = SharedModels.of(f"s3://{BUCKET}/ncf", shop.name)
    flags = ("--target-model", "de", "--s3-prefix", f"s3://{BUCKET}/ncf")
    assert f"{shop.name} version 1" in shop.release(first, "run-1", *flags)
    live = models.live("de")
    assert live == Live(target_model=f"de/{version_of(tmp_path / 'model-1')}.tar.gz")

    with pytest.raises(InputError, match="version 2 is PendingManualApproval"):
        shop.release(second, "run-2", *flags)
    assert len(list_objects(models.archives)) == 1
    shop.decide(second, APPROVED)
    test = SmokeTest.run

    def withdrawn(self: SmokeTest, clients: Aws, endpoint: str, **more: str) -> float:
        shop.decide(second, REJECTED)
        return test(self, clients, endpoint, **more)

    with patch.object(SmokeTest, "run", withdrawn), pytest.raises(InputError, match="version 2 is Rejected"):
        shop.release(second, "run-2", *flags)
    assert models.live("de") == live
    assert shop.state()["EndpointStatus"] == "InService"


def test_a_retry_after_a_kill_completes_the_deployment(
    account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod is killed after each of its changes in turn; the last try completes it."""
    model, endpoint = write_model(tmp_path / "model", 30), "killed"
    for number in range(1, 12):
        with monkeypatch.context() as patched:
            made = kill_after(number, patched)
            try:
                deploy(tmp_path, model, "de", endpoint=endpoint)
            except KilledError:
                continue
            break
    assert number >= 3, made
    live = SharedModels.of(PREFIX, endpoint).live("de")
    assert live is not None
    assert live.previous == []
    assert ask(live.target_model, endpoint)
