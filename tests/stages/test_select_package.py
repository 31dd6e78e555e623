"""The stage that selects the model package to release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_packages import clients, new_group, new_package, registry_account
from shop import KilledError, is_change, kill_after

from ncf.errors import InputError
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED
from ncf.stage.execution import run
from ncf.stages.select_package import SelectPackage

NEVER = {"CustomerMetadataProperties": {"ncf:release": "never"}}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with registry_account(tmp_path_factory.mktemp("account")) as local:
        yield local


@pytest.fixture
def group(account: Any, tmp_path: Path) -> str:
    return new_group(clients(), f"shop-{abs(hash(tmp_path))}")


def selected(folder: Path, *flags: str) -> tuple[str, str]:
    """ARN and summary."""
    run(SelectPackage, [f"--arn={folder}/arn", f"--summary={folder}/summary", *flags])
    return (folder / "arn").read_text(), (folder / "summary").read_text()


def test_the_latest_approved_version_that_may_be_released_is_selected(group: str, tmp_path: Path) -> None:
    aws = clients()
    statuses = [APPROVED, APPROVED, REJECTED, PENDING]
    arns = [new_package(aws, group, status) for status in statuses]
    new_package(aws, group, APPROVED, **NEVER)
    arn, summary = selected(tmp_path, "--registry-group", group)
    assert arn == arns[1]
    assert f"# {group} version 2" in summary
    assert re.search(r"approved \| .* UTC by \S*arn:aws:\S*sts", summary), "who approved it"


def test_a_pod_that_is_killed_selects_nothing_and_its_retry_does(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = new_package(clients(), group, APPROVED)
    for after in range(1, 20):
        folder = tmp_path / str(after)
        with monkeypatch.context() as patched:
            made = kill_after(after, patched, reads=True)
            try:
                selected(folder, "--registry-group", group)
                break
            except KilledError:
                assert not any(map(is_change, made))
                assert not (folder / "arn").exists()
        assert selected(folder, "--registry-group", group)[0] == arn
    assert after > 2


@pytest.mark.parametrize("by", ["ARN", "version"])
def test_a_package_is_selected_by_name(by: str, group: str, tmp_path: Path) -> None:
    arns = [new_package(clients(), group, APPROVED) for _ in range(2)]
    assert selected(tmp_path, "--package", arns[0] if by == "ARN" else f"{group}/1")[0] == arns[0]


@pytest.mark.parametrize(
    ("status", "more", "said"),
    [
        (PENDING, {}, "version 1 is PendingManualApproval"),
        (REJECTED, {}, "version 1 is Rejected"),
        (APPROVED, NEVER, "version 1 is a record of a run with 'release' = never"),
    ],
)
def test_what_may_not_be_released_is_refused_by_name(
    status: str, more: dict[str, Any], said: str, group: str, tmp_path: Path
) -> None:
    new_package(clients(), group, status, **more)
    with pytest.raises(InputError, match=f"parameter 'package': {group} {said}"):
        selected(tmp_path, "--package", f"{group}/1")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_group_without_an_approved_version_is_named(is_there: bool, group: str, tmp_path: Path) -> None:
    name = group if is_there else "nowhere"
    new_package(clients(), group, PENDING)
    with pytest.raises(InputError, match=f"no version of the model package group '{name}' in us-east-1 is approved"):
        selected(tmp_path, "--registry-group", name)
