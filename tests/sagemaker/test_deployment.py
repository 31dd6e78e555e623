"""Deployments: created, updated, continued by a retry, and undone on failure."""

from __future__ import annotations

import threading

import pytest
from deployments import bring_up, fail, plan
from fake_sagemaker import ROLE, FakeSageMaker, RefusalError

from ncf.aws.names import VARIANT
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.settings import AwsSettings


def test_a_second_try_takes_up_the_endpoint_of_the_first(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    uploaded: list[int] = []
    deploy(aws, plan(), upload=lambda: uploaded.append(1), check=lambda: None)
    assert uploaded == []
    assert len(sagemaker.models) == len(sagemaker.configs) == len(sagemaker.endpoints) == 1
    assert "UpdateEndpoint" not in sagemaker.operations()


def test_another_model_updates_the_endpoint(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    bring_up(aws, plan(model="better"))
    assert sagemaker.endpoints["shop"]["config"] == plan(model="better").version
    assert sagemaker.operations().count("CreateEndpoint") == 1


def test_an_update_waits_for_the_one_before(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    aws.call("sagemaker", "update_endpoint", EndpointName="shop", EndpointConfigName="somebody-elses")
    bring_up(aws, plan(model="better"))
    assert sagemaker.endpoints["shop"]["previous"] == "somebody-elses"


def test_a_deletion_is_waited_for(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.delete_slowly("shop")
    bring_up(aws, plan())
    assert sagemaker.endpoints["shop"]["status"] == "InService"
    assert sagemaker.operations().count("CreateEndpoint") == 2


def test_an_endpoint_of_an_earlier_try_that_fails_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName=plan().version)
    with pytest.raises(RemoteError, match="ping health check"):
        bring_up(aws, plan())
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_the_update_of_a_pod_that_was_killed_is_rolled_back_if_the_model_is_bad(
    aws: Aws, sagemaker: FakeSageMaker
) -> None:
    """The second try finds the new config in service, and knows from the endpoint's tag what was there before."""
    bring_up(aws, plan())
    better, started = plan(model="better"), []

    def killed() -> None:
        started.append(1)
        raise SystemExit(137)

    with pytest.raises(SystemExit):
        deploy(aws, better, upload=lambda: None, check=killed)
    assert sagemaker.endpoints["shop"]["config"] == better.version
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, better, upload=lambda: None, check=fail)
    assert started
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert better.version not in sagemaker.configs


def test_a_failed_endpoint_of_a_pod_that_was_killed_makes_room(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName=plan().version)
    with pytest.raises(RemoteError):
        bring_up(aws, plan())
    sagemaker.create_ends = "InService"
    assert bring_up(aws, plan()) == "answers"


def test_a_failed_rollback_deletes_nothing_that_is_live(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    better = plan(model="better")

    def check() -> None:
        monkeypatch.setattr(Endpoint, "update", lambda *_: None)
        fail()

    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, better, upload=lambda: None, check=check)
    assert sagemaker.endpoints["shop"]["config"] == better.version
    assert better.version in sagemaker.configs
    assert better.version in sagemaker.models


def test_two_pods_that_race_make_one_update(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    better, start, results = plan(model="better"), threading.Barrier(2), []

    def pod() -> None:
        clients = sagemaker.attach(Aws(AwsSettings(role=ROLE)))
        start.wait()
        results.append(bring_up(clients, better))

    threads = [threading.Thread(target=pod) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["answers", "answers"]
    assert sagemaker.endpoints["shop"]["config"] == better.version


def test_a_rolled_back_update_is_a_failure_and_leaves_nothing(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.update_ends = "RolledBack"
    sagemaker.log = {f"{VARIANT}/i-1": ["out of memory"]}
    with pytest.raises(RemoteError, match=r"(?s)\| out of memory\n.*rolled back.*Alarm fired.*endpoints/shop"):
        bring_up(aws, plan(model="worse"))
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version]


def test_the_update_is_undone_before_the_log_is_read(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.update_ends, sagemaker.log = "RolledBack", {f"{VARIANT}/i-1": ["out of memory"]}
    with pytest.raises(RemoteError, match="out of memory"):
        bring_up(aws, plan(model="worse"))
    operations = sagemaker.operations()
    assert operations.index("DeleteModel") < operations.index("DescribeLogStreams")
    sagemaker.calls.clear()
    sagemaker.create_ends = "Failed"
    with pytest.raises(RemoteError, match="out of memory"):
        bring_up(aws, plan(endpoint_name="new"))
    operations = sagemaker.operations()
    assert operations.index("DeleteEndpoint") < operations.index("DescribeLogStreams")


def test_what_is_not_undone_is_said(aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture) -> None:
    bring_up(aws, plan())

    def check() -> None:
        sagemaker.refusals["UpdateEndpoint"] = RefusalError("AccessDeniedException", "not allowed")
        fail()

    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse"), upload=lambda: None, check=check)
    assert "shop: its state before is not restored: AWS refused update_endpoint: AccessDenied" in caplog.text


def test_an_endpoint_that_does_not_come_up_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    with pytest.raises(RemoteError, match="endpoint shop: Failed: The primary container did not pass the ping"):
        bring_up(aws, plan())
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_a_refused_config_leaves_no_model(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["CreateEndpointConfig"] = RefusalError("ValidationException", "no such key")
    with pytest.raises(InputError, match="no such key"):
        bring_up(aws, plan())
    assert sagemaker.models == {}


def test_a_new_endpoint_that_fails_the_check_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(), upload=lambda: None, check=fail)
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_an_updated_endpoint_that_fails_the_check_is_rolled_back(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse"), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert sagemaker.endpoints["shop"]["status"] == "InService"
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version]


def test_a_failed_endpoint_of_somebody_else_is_not_touched(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName="theirs")
    with pytest.raises(RemoteError, match=r"shop is Failed.*delete-endpoint --endpoint-name shop"):
        bring_up(aws, plan())
    assert sagemaker.endpoints["shop"]["config"] == "theirs"
    assert sagemaker.models == sagemaker.configs == {}


def test_waiting_is_bounded(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker.describes_until_end = 10**9
    monkeypatch.setattr("ncf.aws.session.time.monotonic", iter(range(0, 10**6, 20)).__next__)
    with pytest.raises(RemoteError, match=r"still Creating after 60 s.*endpoint_wait_time"):
        bring_up(aws, short := plan(endpoint_wait_time=60, startup_timeout=60, bake_time=0))
    assert list(sagemaker.models) == list(sagemaker.configs) == [short.version], "they are in use"


def test_termination_names_the_command_that_deletes_the_endpoint(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        deploy(aws, plan(), upload=lambda: None, check=leave)
    assert "delete-endpoint --endpoint-name shop" in caplog.text
    assert "shop" in sagemaker.endpoints


def test_the_last_versions_are_kept(aws: Aws, sagemaker: FakeSageMaker) -> None:
    other = plan(endpoint_name="shop-other")
    bring_up(aws, other)
    made = [plan(model=str(number), keep_versions=2) for number in range(4)]
    for asked in made:
        bring_up(aws, asked)
    assert list(sagemaker.configs) == list(sagemaker.models) == [other.version, made[2].version, made[3].version]


def test_versions_that_cannot_be_deleted_do_not_fail_the_deployment(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    bring_up(aws, plan())
    sagemaker.refusals["ListEndpointConfigs"] = RefusalError("AccessDeniedException", "not allowed")
    assert bring_up(aws, plan(model="better", keep_versions=1)) == "answers"
    assert "old versions are not deleted" in caplog.text
