"""The deploy stage with model packages, against an AWS account on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from local_account import BUCKET, ROLE, local_account
from model_packages import specification
from random_model import random_model
from shop import Shop, is_change

from ncf.artifacts import manifest
from ncf.aws.names import PACKAGE_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import deployment
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.hosting.live import live_endpoints
from ncf.sagemaker.hosting.rollout import Rollout
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.sagemaker.registry.properties import MODEL_DIGEST
from ncf.stage import command, execution
from ncf.stages.deploy import Deploy
from ncf.storage import upload


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def shop(account: Any, tmp_path: Path) -> Shop:
    return Shop.open(f"shop-{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}", tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Operations of all calls."""
    made: list[str] = []
    call = Aws.call

    def noted(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        made.append(operation)
        return call(self, service, operation, *given, **request)

    monkeypatch.setattr(Aws, "call", noted)
    return made


def test_endpoint_model_config_and_package_name_each_other(shop: Shop) -> None:
    first, second = shop.register(1), shop.register(2)
    assert f"{shop.name} version 1" in shop.release(first, "run-1")
    assert shop.served() == first
    model = shop.aws.call("sagemaker", "describe_model", ModelName=shop.state()["EndpointConfigName"])
    assert model["PrimaryContainer"] == {"ModelPackageName": first}
    assert tags_of(shop.aws, model["ModelArn"])[PACKAGE_TAG] == first

    shop.release(f"{shop.name}/2", "run-2")
    assert shop.served() == second
    config = shop.state()["EndpointConfigName"]
    shop.release(second, "run-2")  # a retry of a pod whose end did not reach KFP
    assert shop.state()["EndpointConfigName"] == config
    assert shop.served() == second


@pytest.mark.parametrize(
    ("status", "properties", "said"),
    [
        (PENDING, {}, r"version 1 is PendingManualApproval, .*; 'ncf approve \S+/1 --note REASON' approves it"),
        (REJECTED, {}, "version 1 is Rejected"),
        (APPROVED, {"release": "never"}, "version 1 is a record of a run with 'release' = never"),
    ],
)
def test_what_is_not_approved_is_refused_by_name_before_any_change(
    status: str, properties: dict[str, str], said: str, shop: Shop, calls: list[str]
) -> None:
    arn = shop.register(3, status, **properties)
    calls.clear()
    with pytest.raises(InputError, match=f"parameter 'package': .*{said}"):
        shop.release(arn, "run-1")
    assert not any(map(is_change, calls))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shop", "expected the ARN of a model package version, or GROUP/VERSION"),
        ("nowhere/1", "there is no model package"),
    ],
)
def test_a_package_that_is_none_is_refused(given: str, said: str, shop: Shop) -> None:
    with pytest.raises(InputError, match=said):
        shop.release(given, "run-1")


def test_an_approval_that_is_withdrawn_before_the_update_starts_none(shop: Shop, calls: list[str]) -> None:
    """As while another update is waited for."""
    first, second = shop.register(20), shop.register(21)
    shop.release(first, "run-1")
    calls.clear()
    quiet = patch.object(Rollout, "wait_until_quiet", lambda _: shop.decide(second, REJECTED))
    with quiet, pytest.raises(InputError, match="version 2 is Rejected"):
        shop.release(second, "run-2")
    assert "update_endpoint" not in calls
    assert shop.served() == first


def test_a_model_that_was_replaced_after_its_registration_is_refused(shop: Shop, calls: list[str]) -> None:
    arn = shop.register(22, run="run-1")
    folder, uri = shop.folder / "model-22", shop.found(arn).model_uri
    calls.clear()
    with pytest.raises(InputError, match="version 1 was registered with none: it was replaced"):
        shop.release(arn, "run-1")
    assert not any(map(is_change, calls))
    digest = manifest.fingerprint(manifest.read(folder, "model"))
    shop.change(arn, CustomerMetadataProperties={MODEL_DIGEST: digest})
    shop.release(arn, "run-1")

    random_model(seed=23).save(shop.folder / "other", {}, {})
    upload(shop.folder / "other", uri)
    with pytest.raises(InputError, match=f"the model at {uri} has the fingerprint .*: it was replaced"):
        shop.release(arn, "run-2")


def test_a_package_that_is_not_completed_is_refused(shop: Shop, account: Any) -> None:
    arn = shop.register(24)
    account._api._registry._packages[arn]["ModelPackageStatus"] = "Failed"
    with pytest.raises(InputError, match="version 1 is Failed in the registry; only a completed package"):
        shop.release(arn, "run-1")


def test_a_package_that_was_changed_after_its_approval_is_neither_released_nor_returned_to(
    shop: Shop, calls: list[str]
) -> None:
    first, second, third = (shop.register(seed, PENDING) for seed in (28, 29, 30))
    for number, arn in enumerate((first, second, third)):
        shop.decide(arn, APPROVED)
        if number < 2:
            shop.release(arn, f"run-{number}")
    for arn in (first, third):
        shop.change(arn, InferenceSpecification=specification(f"s3://{BUCKET}/elsewhere"))
    calls.clear()
    with pytest.raises(InputError, match=r"'package': the image, the model or the properties of \S+ version 3 are no"):
        shop.release(third, "run-3")
    assert not any(map(is_change, calls))
    with pytest.raises(InputError, match="no older config may be served: .* version 1 are no longer those that arn"):
        Endpoint(shop.aws, shop.name).roll_back(60)
    assert shop.served() == second


def test_a_package_live_on_two_endpoints_is_found_on_both(shop: Shop) -> None:
    arn = shop.register(31)
    others = f"{shop.name}-mail"
    shop.release(arn, "run-1")
    shop.release(arn, "run-2", "--endpoint-name", others)
    assert live_endpoints(shop.aws)[arn] == [shop.name, others]
    shop.release(shop.register(32), "run-3", "--endpoint-name", others)
    assert live_endpoints(shop.aws)[arn] == [shop.name]


def test_a_tag_makes_no_package_live(shop: Shop) -> None:
    """Pods may write the tags of their endpoints."""
    first, second = shop.register(33), shop.register(34)
    shop.release(first, "run-1")
    tag = [{"Key": PACKAGE_TAG, "Value": second}]
    shop.aws.call("sagemaker", "add_tags", ResourceArn=shop.state()["EndpointArn"], Tags=tag)
    assert second not in live_endpoints(shop.aws)
    assert live_endpoints(shop.aws)[first] == [shop.name]


def test_a_version_that_another_release_would_return_to_is_kept(shop: Shop) -> None:
    """Its own smoke test fails, as the other model answers."""
    first, second, third = (shop.register(seed) for seed in (25, 26, 27))
    shop.release(first, "run-1")
    test, others = SmokeTest.run, iter([third])

    def updated_over(self: SmokeTest, clients: Aws, endpoint: str, **more: str) -> float:
        for package in others:
            shop.release(package, "run-3")
        return test(self, clients, endpoint, **more)

    with patch.object(SmokeTest, "run", updated_over), pytest.raises(RemoteError, match="smoke test"):
        shop.release(second, "run-2")
    assert shop.served() == third
    Endpoint(shop.aws, shop.name).roll_back(60)
    assert shop.served() == second


def test_an_approval_that_is_withdrawn_during_the_deployment_undoes_it(shop: Shop) -> None:
    first, second = shop.register(4), shop.register(5)
    test = SmokeTest.run

    def withdrawn(self: SmokeTest, clients: Aws, endpoint: str, **more: str) -> float:
        shop.decide(second, REJECTED)
        return test(self, clients, endpoint, **more)

    with patch.object(SmokeTest, "run", withdrawn), pytest.raises(InputError, match="version 2 is Rejected"):
        shop.release(second, "run-0")
    assert shop.aws.find("sagemaker", "describe_endpoint", EndpointName=shop.name) is None, "it did not exist before"

    shop.decide(second, APPROVED)
    shop.release(first, "run-1")
    with patch.object(SmokeTest, "run", withdrawn), pytest.raises(InputError, match="version 2 is Rejected"):
        shop.release(second, "run-2")
    assert shop.served() == first


@pytest.mark.parametrize("is_new", [False, True])
def test_an_approval_that_is_withdrawn_during_the_update_ends_it_without_a_test(
    is_new: bool, shop: Shop, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the update takes: its end is waited for."""
    first, second = shop.register(40), shop.register(41)
    if not is_new:
        shop.release(first, "run-1")
    call = Aws.call

    def withdrawing(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        if operation in ("create_endpoint", "update_endpoint") and shop.found(second).status == APPROVED:
            shop.decide(second, REJECTED)
        return answer

    monkeypatch.setattr(Aws, "call", withdrawing)
    monkeypatch.setattr(SmokeTest, "run", lambda *_: pytest.fail("the update is over"))
    monkeypatch.setattr(deployment, "_UNDO_SECONDS", 0.01)
    account.faults.add("hold", shop.name, state="Creating" if is_new else "Updating", seconds=1)
    with pytest.raises(InputError, match="version 2 is Rejected"):
        shop.release(second, "run-2")
    if is_new:
        assert shop.aws.find("sagemaker", "describe_endpoint", EndpointName=shop.name) is None
    else:
        assert shop.served() == first


def test_a_rollback_goes_to_the_version_approved_before_and_names_it(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [shop.register(seed) for seed in (80, 81, 82)]
    for number, arn in enumerate(arns):
        shop.release(arn, f"run-{number}")
    shop.decide(arns[1], REJECTED)
    command.main(["rollback", shop.name])
    printed = capsys.readouterr().out
    assert f"skipped: {shop.name} version 2 is Rejected" in printed
    assert f", {shop.name} version 1 again, in place of" in printed
    assert shop.served() == arns[0]
    shop.decide(arns[1], APPROVED)
    shop.release(arns[1], "run-4")
    for arn in (arns[0], arns[2]):
        shop.decide(arn, REJECTED)
    with pytest.raises(InputError, match="no older config may be served: .*version 1 is Rejected"):
        Endpoint(shop.aws, shop.name).roll_back(60)
    assert shop.served() == arns[1]


def test_a_model_without_a_package_takes_the_endpoint_from_one(shop: Shop, tmp_path: Path) -> None:
    arn = shop.register(90)
    shop.release(arn, "run-1")
    random_model(seed=91).save(tmp_path / "plain", {}, {})
    outputs = [
        f"--{output}={tmp_path / 'plain-run' / output}" for output in ("endpoint", "target", "summary", "metrics")
    ]
    flags = [f"--model={tmp_path}/plain", f"--role={ROLE}", f"--endpoint-name={shop.name}", "--bake-time=0"]
    more = ["--deploy-image=registry/ncf-deploy:1", f"--s3-prefix=s3://{BUCKET}/plain"]
    execution.run(Deploy, [*flags, *more, *outputs])
    assert shop.name not in [endpoint for serving in live_endpoints(shop.aws).values() for endpoint in serving]
    rollback = Endpoint(shop.aws, shop.name).roll_back(60)
    assert rollback.package
    assert rollback.package.arn == shop.served() == arn


def test_a_serverless_endpoint_needs_an_archive(shop: Shop) -> None:
    flags = ("--serverless-memory", "2048", "--network-isolation", "false", "--s3-prefix", f"s3://{BUCKET}/x")
    with pytest.raises(InputError, match="'serverless_memory' is 2048: the model of .* version 1 is not an archive"):
        shop.release(shop.register(95), "run-1", *flags)
    arn = shop.register(96, archive=True)
    shop.release(arn, "run-2", *flags)
    assert shop.served() == arn


def test_a_package_whose_model_fails_the_smoke_test_leaves_the_one_before(shop: Shop) -> None:
    first, bad = shop.register(97), shop.register(98, errs=True)
    shop.release(first, "run-1")
    with pytest.raises(RemoteError):
        shop.release(bad, "run-2")
    assert shop.served() == first


def test_the_image_is_the_package_s(shop: Shop) -> None:
    """A pipeline gives its own, which has a default; a person gives none."""
    arn = shop.register(99)
    shop.release(arn, "run-1", "--deploy-overrides", '{"keep_versions": 2}')
    shop.release(arn, "run-2", "--deploy-image", "registry/another:1")
    assert shop.served() == arn
    with pytest.raises(InputError, match="'deploy_overrides' has 'deploy_image', but a package names the image"):
        shop.release(arn, "run-3", "--deploy-overrides", '{"deploy_image": "registry/one-more:1"}')


@pytest.mark.parametrize("more", [(), ("--deploy-image", ""), ("--deploy-overrides", '{"deploy_image": ""}')])
def test_a_model_needs_an_image(more: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="'deploy_image'"):
        execution.run(Deploy, ["--model-uri", "s3://b/m", "--role", ROLE, *more])
