"""``ncf experiment`` on an AWS account on this machine: two packages on one endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from local_account import BUCKET, local_account
from random_model import random_model
from readmes import ROOT, blocks
from shop import KilledError, Shop, is_change, kill_after

from ncf.api.assignment import is_challenged
from ncf.artifacts import manifest
from ncf.aws.names import CHALLENGER_VARIANT, RUN_TAG, VARIANT
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.operators.clean import Clean
from ncf.operators.experiment import Experiment
from ncf.operators.rollback import Rollback
from ncf.sagemaker.hosting.versions import of_endpoint
from ncf.sagemaker.registry.names import PENDING, REJECTED
from ncf.serving.recommender import Recommender
from ncf.stage.execution import run

CAPTURE = ("--data-capture-s3-uri", f"s3://{BUCKET}/captured")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def shop(account: Any, tmp_path: Path) -> Shop:
    return Shop.open(f"shop-{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}", tmp_path)


@pytest.fixture
def packages(shop: Shop) -> tuple[str, str]:
    """The live package, and the challenger."""
    live, challenger = shop.register(1), shop.register(2)
    shop.release(live, f"{shop.name}-run", *CAPTURE)
    return live, challenger


def experiment(action: str, shop: Shop, *more: str) -> None:
    run(Experiment, [action, shop.name, *more])


def start(shop: Shop, challenger: str, *more: str) -> None:
    experiment("start", shop, "--challenger", challenger, *more)


def answering(shop: Shop, variant: str) -> str:
    """The version of the model that a variant answers with."""
    answer = shop.aws.call(
        "sagemaker-runtime", "invoke_endpoint", EndpointName=shop.name, ContentType="application/json",
        Body=json.dumps({"users": ["u1"], "k": 3}), TargetVariant=variant,
    )  # fmt: skip
    assert answer["InvokedProductionVariant"] == variant
    return str(json.loads(answer["Body"])["model_version"])


def versions(shop: Shop) -> dict[int, str]:
    """Version of each model, by its seed."""
    found = {}
    for folder in shop.folder.glob("model-*"):
        found[int(folder.name.split("-")[1])] = manifest.version_of(folder)
    return found


def left(shop: Shop) -> list[str]:
    """Configs and models of experiments that exist."""
    configs = shop.aws.call("sagemaker", "list_endpoint_configs", NameContains=f"{shop.name}-ab")["EndpointConfigs"]
    models = shop.aws.client("sagemaker").list_models(NameContains=f"{shop.name}-ab")["Models"]
    return [entry["EndpointConfigName"] for entry in configs] + [entry["ModelName"] for entry in models]


def test_from_start_to_end(
    shop: Shop, packages: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    live, challenger = packages
    before, version = shop.state()["EndpointConfigName"], versions(shop)
    start(shop, f"{shop.name}/2", "--share", "0.2")
    shown = capsys.readouterr().out
    assert f"{shop.name}/1, 80% of the users" in shown
    assert f"{shop.name}/2, 20% of the users" in shown
    assert answering(shop, VARIANT) == version[1]
    assert answering(shop, CHALLENGER_VARIANT) == version[2]
    weights = {entry["VariantName"]: entry["CurrentWeight"] for entry in shop.state()["ProductionVariants"]}
    assert weights == {VARIANT: 0.8, CHALLENGER_VARIANT: 0.2}
    assert shop.served() == live, "the live package stays the live one"

    start(shop, challenger, "--share", "0.2")  # again: the same experiment
    assert capsys.readouterr().out == shown
    with pytest.raises(InputError, match="has the experiment .* which runs; `ncf experiment end"):
        start(shop, challenger, "--share", "0.5")
    with pytest.raises(InputError, match=f"endpoint {shop.name} has an experiment, and is not updated"):
        shop.release(challenger, "run-2", *CAPTURE)
    assert answering(shop, CHALLENGER_VARIANT) == version[2]

    experiment("stop", shop)
    assert f"stopped, serves {shop.name}/1" in capsys.readouterr().out
    assert {answering(shop, variant) for variant in (VARIANT, CHALLENGER_VARIANT)} == {version[1]}
    experiment("stop", shop)
    with pytest.raises(InputError, match="which is stopped"):
        start(shop, challenger, "--share", "0.2")

    experiment("end", shop)
    assert "has ended" in capsys.readouterr().out
    assert shop.state()["EndpointConfigName"] == before
    assert [entry["VariantName"] for entry in shop.state()["ProductionVariants"]] == [VARIANT]
    assert not left(shop)
    for action in ("show", "end"):
        experiment(action, shop)
        assert "has no experiment" in capsys.readouterr().out
    with pytest.raises(InputError, match="has no experiment"):
        experiment("stop", shop)
    shop.release(challenger, "run-3", *CAPTURE)
    assert shop.served() == challenger


def test_the_share_is_shown_as_the_client_needs_it(
    shop: Shop, packages: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    start(shop, packages[1], "--share", "0.125")
    shown = capsys.readouterr().out
    assert "share       0.125" in shown
    assert "87.5% of the users" in shown
    assert "12.5% of the users" in shown


def test_the_challenger_has_as_many_instances_as_the_live_model_has_now(shop: Shop, packages: tuple[str, str]) -> None:
    capacity = {"VariantName": VARIANT, "DesiredInstanceCount": 3}
    shop.aws.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=shop.name, DesiredWeightsAndCapacities=[capacity]
    )
    for action in (("start", "--challenger", packages[1]), ("stop",)):
        experiment(action[0], shop, *action[1:])
        counts = {entry["VariantName"]: entry["DesiredInstanceCount"] for entry in shop.state()["ProductionVariants"]}
        assert counts == {VARIANT: 3, CHALLENGER_VARIANT: 3}, action


def test_a_deployment_that_begins_meanwhile_is_kept(shop: Shop, packages: tuple[str, str]) -> None:
    before = shop.state()["EndpointConfigName"]
    shop.release(packages[1], "run-2", *CAPTURE)
    deployed, call = shop.state()["EndpointConfigName"], Aws.call
    run(Rollback, [shop.name])

    def deploying(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        if operation == "update_endpoint" and shop.state()["EndpointConfigName"] == before:
            shop.aws.client("sagemaker").update_endpoint(EndpointName=shop.name, EndpointConfigName=deployed)
        return call(self, service, operation, *given, **request)

    with patch.object(Aws, "call", deploying), pytest.raises(RemoteError, match="as others change it"):
        start(shop, packages[1])
    assert shop.state()["EndpointConfigName"] == deployed
    experiment("end", shop)
    assert not left(shop)


def test_the_same_start_at_the_same_time_is_one_experiment(shop: Shop, packages: tuple[str, str]) -> None:
    before, call = shop.state()["EndpointConfigName"], Aws.call

    def updating(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        if operation == "update_endpoint" and shop.state()["EndpointConfigName"] == before:
            shop.aws.client("sagemaker").update_endpoint(**request)
        return call(self, service, operation, *given, **request)

    with patch.object(Aws, "call", updating):
        start(shop, packages[1])
    assert answering(shop, CHALLENGER_VARIANT) == versions(shop)[2]


def test_clean_keeps_the_live_model_of_an_experiment(
    shop: Shop, packages: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = shop.state()["EndpointConfigName"]
    for action in (("start", "--challenger", packages[1]), ("stop",)):
        experiment(action[0], shop, *action[1:])
        run(Clean, ["--run", "run-1", "--dry-run", "false"])
        assert f"{before}: kept" in capsys.readouterr().out
    experiment("end", shop)
    assert shop.state()["EndpointConfigName"] == before
    assert shop.served() == packages[0]


def test_the_configs_of_an_experiment_are_no_versions_of_an_endpoint_with_a_long_name(
    account: Any, tmp_path: Path
) -> None:
    shop = Shop.open("s" * 63, tmp_path)
    live, challenger = shop.register(1), shop.register(2)
    shop.release(live, "run-1", *CAPTURE)
    before = shop.state()["EndpointConfigName"]
    start(shop, challenger)
    assert shop.state()["EndpointConfigName"] != before
    assert [version.name for version in of_endpoint(shop.aws, shop.name, "")] == [before]
    run(Rollback, [shop.name])
    assert shop.state()["EndpointConfigName"] == before
    experiment("end", shop)


def test_a_rollback_ends_it(shop: Shop, packages: tuple[str, str]) -> None:
    before = shop.state()["EndpointConfigName"]
    start(shop, packages[1])
    run(Rollback, [shop.name])
    assert shop.state()["EndpointConfigName"] == before
    experiment("end", shop)
    assert not left(shop)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_clean_up_of_its_run_leaves_no_part_of_it(shop: Shop, packages: tuple[str, str], stopped: bool) -> None:
    """Nothing of the live model is deleted while the endpoint still serves it."""
    start(shop, packages[1])
    if stopped:
        experiment("stop", shop)
    state = shop.state()
    live = shop.aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
    run(Clean, ["--run", tags_of(shop.aws, state["EndpointArn"])[RUN_TAG], "--dry-run", "false"])
    assert shop.aws.find("sagemaker", "describe_endpoint", EndpointName=shop.name) is None
    for variant in live["ProductionVariants"]:
        assert shop.aws.find("sagemaker", "describe_model", ModelName=variant["ModelName"]) is None
    assert not left(shop)


def test_what_cannot_have_an_experiment_is_refused_before_any_change(shop: Shop) -> None:
    first, pending = shop.register(1), shop.register(3, PENDING)
    with pytest.raises(InputError, match=f"there is no endpoint '{shop.name}'"):
        start(shop, first)
    shop.release(first, "run-1")
    config = shop.state()["EndpointConfigName"]
    with pytest.raises(InputError, match="captures no data"):
        start(shop, shop.register(2))
    with pytest.raises(InputError, match="parameter 'challenger': .*PendingManualApproval"):
        start(shop, pending)
    assert shop.state()["EndpointConfigName"] == config
    assert not left(shop)


def test_the_live_package_is_no_challenger(shop: Shop, packages: tuple[str, str]) -> None:
    before = shop.state()["EndpointConfigName"]
    with pytest.raises(InputError, match=f"{shop.name}/1 is the live model of endpoint {shop.name}"):
        start(shop, packages[0])
    assert shop.state()["EndpointConfigName"] == before
    assert not left(shop)


def test_a_challenger_that_fails_its_test_serves_nobody(shop: Shop, packages: tuple[str, str]) -> None:
    before, broken = shop.state()["EndpointConfigName"], shop.register(5, errs=True)
    with pytest.raises(RemoteError):
        start(shop, broken)
    assert shop.state()["EndpointConfigName"] == before
    assert not left(shop)


def test_an_approval_that_is_withdrawn_meanwhile_starts_nothing(shop: Shop, packages: tuple[str, str]) -> None:
    call = Aws.call

    def withdrawing(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        if operation == "create_endpoint_config":
            shop.decide(packages[1], REJECTED)
        return answer

    before = shop.state()["EndpointConfigName"]
    with patch.object(Aws, "call", withdrawing), pytest.raises(InputError, match="version 2 is Rejected"):
        start(shop, packages[1])
    assert shop.state()["EndpointConfigName"] == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ["start", "stop", "end"])
def test_killed_after_each_change_and_tried_again(
    action: str, shop: Shop, packages: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = shop.state()["EndpointConfigName"], versions(shop)
    arguments = ("--challenger", packages[1]) if action == "start" else ()
    for number in range(1, 20):
        if action != "start":
            start(shop, packages[1])
        with monkeypatch.context() as patched:
            made = kill_after(number, patched)
            with suppress(KilledError):
                experiment(action, shop, *arguments)
        experiment(action, shop, *arguments)
        if action == "end":
            assert shop.state()["EndpointConfigName"] == before
            assert not left(shop)
        else:
            assert answering(shop, VARIANT) == version[1]
            assert answering(shop, CHALLENGER_VARIANT) == version[2 if action == "start" else 1]
            experiment("end", shop)
        assert not left(shop)
        if len(made) < number:
            break
    assert number > 1
    assert all(map(is_change, made))


def test_users_are_assigned_by_share_and_always_alike() -> None:
    users = [f"u{number}" for number in range(10_000)]
    first = [is_challenged(user, "shop-ab-1", 0.2) for user in users]
    assert first == [is_challenged(user, "shop-ab-1", 0.2) for user in users]
    assert 0.185 < sum(first) / len(users) < 0.215
    other = [is_challenged(user, "shop-ab-2", 0.2) for user in users]
    assert 300 < sum(a and b for a, b in zip(first, other, strict=True)) < 500, "each experiment has users of its own"
    assert is_challenged("é", "x", 1.0)
    assert not is_challenged("é", "x", 0.0)


def test_the_client_of_the_readme(shop: Shop, packages: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    start(shop, packages[1], "--share", "0.5")
    name = capsys.readouterr().out.split()[1]
    (text,) = [
        block.content for block in blocks(ROOT / "ncf/sagemaker/README.md") if "EXPERIMENT, SHARE = " in block.content
    ]
    client: dict[str, Any] = {}
    exec(
        text.replace("ncf-shop-ab-0123456789abcdef", name).replace("ncf-shop", shop.name).replace("0.2", "0.5"), client
    )
    shown = {seed: random_model(seed=seed) for seed in (1, 2)}
    for user in ("u1", "u2", "u3", "u4", "u5"):
        model = shown[2 if is_challenged(user, name, 0.5) else 1]
        assert client["recommend"](user, 3) == Recommender(model).recommend([user], 3)[0]["items"]
    experiment("end", shop)
    assert client["recommend"]("u1", 3) == Recommender(shown[1]).recommend(["u1"], 3)[0]["items"]
