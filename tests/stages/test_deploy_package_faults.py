"""Releases of model packages through faults: killed pods, throttling, withdrawn approvals, two releases at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_account import local_account
from shop import KilledError, Shop, kill_after

from components.local.aws import LocalAws
from components.local.aws.processes import wait_until
from ncf.aws.names import DEPLOYED_TAG
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.registry.names import APPROVED, REJECTED


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def shop(account: Any, tmp_path: Path) -> Shop:
    return Shop.open(f"shop-{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}", tmp_path)


@pytest.mark.slow
def test_whenever_the_pod_is_killed_the_retry_ends_as_one_that_was_not_killed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the approval is withdrawn between the tries: then the package before serves."""
    first = shop.register(6)
    shop.release(first, "first")
    for after in range(1, 60):
        asked, run, live = shop.register(6 + after), f"run-{after}", shop.served()
        with monkeypatch.context() as patched:
            made = kill_after(after, patched)
            try:
                shop.release(asked, run)
                break
            except KilledError:
                pass
        shop.decide(asked, REJECTED)
        with pytest.raises(InputError, match="is Rejected"):
            shop.release(asked, run)
        if shop.served() == asked:  # the try that was killed had completed it
            assert tags_of(shop.aws, shop.state()["EndpointArn"])[DEPLOYED_TAG] == shop.state()["EndpointConfigName"]
            Endpoint(shop.aws, shop.name).roll_back(60)
        assert shop.served() == live, f"after {made}"
        shop.decide(asked, APPROVED)
        with monkeypatch.context() as patched:
            kill_after(after, patched)
            with pytest.raises(KilledError):
                shop.release(asked, f"{run}-again")
        shop.release(asked, f"{run}-again")
        assert shop.served() == asked, f"after {made}"
    assert after > 6


@pytest.mark.slow
def test_after_each_call_that_the_pod_is_killed_the_retry_completes_the_release(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after reads: what was read is not remembered."""
    packages = [shop.register(120), shop.register(121)]
    shop.release(packages[0], "first")
    for after in range(1, 200):
        asked, run = packages[after % 2], f"run-{after}"
        with monkeypatch.context() as patched:
            made = kill_after(after, patched, reads=True)
            try:
                shop.release(asked, run)
                break
            except KilledError:
                pass
        assert not (shop.folder / run / "endpoint").exists(), "outputs appear at the end"
        shop.release(asked, run)
        assert shop.served() == asked, f"after {made}"
        state = shop.state()
        assert tags_of(shop.aws, state["EndpointArn"])[DEPLOYED_TAG] == state["EndpointConfigName"], f"after {made}"
    assert after > 25


@pytest.mark.slow
def test_throttling_and_broken_connections_delay_a_release(shop: Shop, account: LocalAws) -> None:
    first, second = shop.register(101), shop.register(102)
    shop.release(first, "run-1")
    faults = {
        "DescribeModelPackage": "ThrottlingException",
        "CreateModel": "ThrottlingException",
        "UpdateEndpoint": "drop",
        "ListTags": "cut",
        "AddTags": "InternalFailure",
    }
    for name, error in faults.items():
        account.faults.add("refuse", name, error=error)
    shop.release(second, "run-2")
    assert account.faults.coming() == []
    assert shop.served() == second


@pytest.mark.slow
def test_an_approval_that_is_withdrawn_during_an_update_is_never_completed(shop: Shop, account: LocalAws) -> None:
    first, second = shop.register(103), shop.register(104)
    shop.release(first, "run-1")
    account.faults.add("hold", shop.name, state="Updating", seconds=3)
    process = shop.start(second, "run-2")
    assert wait_until(lambda: shop.state()["EndpointStatus"] == "Updating", 30)
    shop.decide(second, REJECTED)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{shop.name} version 2 is Rejected" in err
    assert shop.served() == first


@pytest.mark.slow
@pytest.mark.parametrize("withdrawn", [False, True])
def test_of_two_releases_at_once_one_is_live_in_the_end(withdrawn: bool, shop: Shop, account: LocalAws) -> None:
    packages = [shop.register(seed) for seed in (105, 106, 107)]
    shop.release(packages[0], "run-0")
    account.faults.add("hold", shop.name, state="Updating", seconds=2, times=2)
    processes = [shop.start(package, f"run-{number}") for number, package in enumerate(packages[1:], 1)]
    if withdrawn:
        assert wait_until(lambda: shop.state()["EndpointStatus"] == "Updating", 30)
        shop.decide(packages[1], REJECTED)
    said = [process.communicate(timeout=120)[1] for process in processes]
    account.faults.clear()
    live = shop.served()
    assert tags_of(shop.aws, shop.state()["EndpointArn"])[DEPLOYED_TAG] == shop.state()["EndpointConfigName"], said
    assert shop.found(live).status == APPROVED, said
    # the one that was updated over before its smoke test has failed: another model answered
    winner = processes[packages.index(live) - 1]
    assert winner.returncode == 0, said
    if withdrawn:
        assert live == packages[2], said


@pytest.mark.slow
def test_a_failed_release_does_not_return_to_a_package_that_was_rejected_meanwhile(shop: Shop) -> None:
    first, second, bad = shop.register(108), shop.register(109), shop.register(110, errs=True)
    shop.release(first, "run-1")
    shop.release(second, "run-2")
    shop.decide(second, REJECTED)
    with pytest.raises(RemoteError):
        shop.release(bad, "run-3")
    assert shop.served() == first
