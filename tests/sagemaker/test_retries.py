"""Retries of deploy after a killed pod: a running update is taken up, and undone if its model is bad."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, fail, plan
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws.names import PREVIOUS_TAG
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.endpoint import Endpoint

BETTER = "better"


def kill_during(status: str, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """A first try that is killed as soon as the endpoint has a status."""
    settled = Endpoint.settled

    def wait(self: Endpoint, *arguments: Any, **more: Any) -> Any:
        if sagemaker.endpoints.get("shop", {}).get("status") == status:
            raise SystemExit(137)
        return settled(self, *arguments, **more)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Endpoint, "settled", wait)
        bring_up(aws, plan(**how))
    assert sagemaker.endpoints["shop"]["status"] == status


@pytest.mark.parametrize("seen", ["while updating", "after the update"])
def test_a_running_update_is_taken_up_and_undone_if_the_model_is_bad(
    seen: str, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    kill_during("Updating", aws, sagemaker, monkeypatch, model=BETTER)
    if seen == "after the update":
        Endpoint(aws, "shop").settled(60)
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model=BETTER), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert sagemaker.operations().count("UpdateEndpoint") == 2, "the first try's, and the way back"
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version]


def test_a_running_update_with_a_good_model_is_not_repeated(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    kill_during("Updating", aws, sagemaker, monkeypatch, model=BETTER)
    assert bring_up(aws, plan(model=BETTER)) == "answers"
    assert sagemaker.endpoints["shop"]["config"] == plan(model=BETTER).version
    assert sagemaker.operations().count("UpdateEndpoint") == 1


def test_a_running_update_that_is_rolled_back_is_a_failure(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    sagemaker.update_ends = "RolledBack"
    kill_during("Updating", aws, sagemaker, monkeypatch, model=BETTER)
    with pytest.raises(RemoteError, match="rolled back.*Alarm fired"):
        bring_up(aws, plan(model=BETTER))
    assert sagemaker.operations().count("UpdateEndpoint") == 1
    assert list(sagemaker.models) == [plan().version]


def test_a_running_update_of_another_run_is_waited_for(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    kill_during("Updating", aws, sagemaker, monkeypatch, model="theirs", run="run-2")
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model=BETTER), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan(model="theirs", run="run-2").version


@pytest.mark.parametrize("is_good", [True, False])
def test_a_new_endpoint_of_a_killed_pod_is_taken_up(
    is_good: bool, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_during("Creating", aws, sagemaker, monkeypatch)
    Endpoint(aws, "shop").settled(60)
    if is_good:
        assert bring_up(aws, plan()) == "answers"
        assert sagemaker.endpoints["shop"]["status"] == "InService"
    else:
        with pytest.raises(RemoteError, match="wrong items"):
            deploy(aws, plan(), upload=lambda: None, check=fail)
        assert sagemaker.endpoints == sagemaker.configs == {}, "it has never served a tested model"
    assert sagemaker.operations().count("CreateEndpoint") == 1


def test_a_new_endpoint_that_another_run_has_updated_is_not_deleted(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other run has waited for the creation, and begins its update just before the deletion."""

    delete = sagemaker.DeleteEndpoint

    def refuse(**_: Any) -> dict[str, Any]:
        monkeypatch.setattr(sagemaker, "DeleteEndpoint", delete)
        sagemaker.UpdateEndpoint("shop", "of-another-run")
        raise RefusalError("ValidationException", 'Cannot update in-progress endpoint "arn".')

    monkeypatch.setattr(sagemaker, "DeleteEndpoint", refuse)
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == "of-another-run"
    assert "endpoint shop is not deleted, as another run has updated it" in caplog.text


def test_an_endpoint_whose_previous_config_was_deleted_is_not(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    kill_during("Updating", aws, sagemaker, monkeypatch, model=BETTER)
    Endpoint(aws, "shop").settled(60)
    del sagemaker.configs[plan().version]
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model=BETTER), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan(model=BETTER).version, "there is nothing to return to"


def test_an_update_that_begins_in_between_is_waited_for(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The description before the update is of another replica: it does not show the update of another pod yet."""
    bring_up(aws, plan())
    tag = sagemaker.AddTags

    def tag_late(**request: Any) -> dict[str, Any]:
        is_update = any(entry["Key"] == PREVIOUS_TAG for entry in request["Tags"])
        if is_update and sagemaker.operations().count("UpdateEndpoint") == 0:
            sagemaker.calls.append(("UpdateEndpoint", {}))
            sagemaker.UpdateEndpoint("shop", "somebody-elses")
        return tag(**request)

    monkeypatch.setattr(sagemaker, "AddTags", tag_late)
    assert bring_up(aws, plan(model=BETTER)) == "answers"
    state = sagemaker.endpoints["shop"]
    assert (state["previous"], state["config"]) == ("somebody-elses", plan(model=BETTER).version)


def test_a_bad_model_that_another_run_has_replaced_is_not_taken_back_again(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """The other run's update begins at the same time, and its model stays."""
    bring_up(aws, plan())
    update = sagemaker.UpdateEndpoint

    def check() -> None:
        def refuse(**_: Any) -> dict[str, Any]:
            sagemaker.UpdateEndpoint = update  # type: ignore[method-assign]
            sagemaker.UpdateEndpoint("shop", "of-another-run")
            raise RefusalError("ValidationException", 'Cannot update in-progress endpoint "arn".')

        sagemaker.UpdateEndpoint = refuse  # type: ignore[method-assign]
        fail()

    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model=BETTER), upload=lambda: None, check=check)
    assert sagemaker.endpoints["shop"]["config"] == "of-another-run"
    assert "its state before is not restored: endpoint shop is not updated" in caplog.text
