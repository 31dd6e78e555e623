"""Commands on packages that others have made: without a model, with two containers, with any text in their notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from model_packages import clients, new_group, new_package, registry_account
from random_model import random_model

from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.operators.approve import Approve
from ncf.operators.diff import Diff
from ncf.operators.models import Models
from ncf.operators.reject import Reject
from ncf.operators.verify import Verify
from ncf.sagemaker.hosting.packages import obstacle
from ncf.sagemaker.registry.names import APPROVED
from ncf.sagemaker.registry.package import find, packages
from ncf.stage import execution
from ncf.stage.declaration import Stage
from ncf.stages.select_package import SelectPackage

IMAGE = {"Image": "r.example/other:1.0"}
HTTP = {**IMAGE, "ModelDataUrl": "https://bucket.s3.amazonaws.com/model.tar.gz"}
FORGED = "\x1b[2J\x85ncf: Approved \u202e<b>|`x`[bold]"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with registry_account(tmp_path_factory.mktemp("registry")):
        yield clients()


@pytest.mark.parametrize(
    ("name", "containers", "reason"),
    [
        ("none", [], "has 0 containers; only a package with one is released"),
        ("two", [IMAGE, IMAGE], "has 2 containers; only a package with one is released"),
        ("image", [IMAGE], "the model of image version 1 is at ''; expected an s3:// URI"),
        ("http", [HTTP], "is at 'https://bucket.s3.amazonaws.com/model.tar.gz'; expected an s3:// URI"),
    ],
)
def test_a_package_without_a_model_is_refused_by_name(
    name: str,
    containers: list[Any],
    reason: str,
    aws: Aws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """Also where the command is called in the folder of a model, which is not that of the package."""
    random_model().save(tmp_path / "model", {}, {})
    monkeypatch.chdir(tmp_path / "model")
    sagemaker, group = boto3.client("sagemaker"), new_group(aws, name)
    given = {"InferenceSpecification": {"Containers": containers}} if containers else {}
    sagemaker.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus=APPROVED, **given)
    assert reason in obstacle(find(aws, group))
    with pytest.raises(InputError, match=f"the model of {name} version 1 is at '.*'; expected an s3:// URI"):
        execution.run(Verify, [f"{group}/1"])
    with pytest.raises(InputError, match=f"'before' is '{name}/1': the model of {name} version 1 is at"):
        execution.run(Diff, [f"{group}/1", "."])
    execution.run(Models, [group])
    assert "Approved" in capsys.readouterr().out
    execution.run(Reject, [group, "--note", "not ours"])


@pytest.mark.parametrize("command", [Approve, Reject])
def test_texts_of_others_stay_on_their_line(command: type[Stage], aws: Aws, tmp_path: Path, capsys: Any) -> None:
    group = new_group(aws, f"forged-{command.name}")
    arn = new_package(aws, group, "Rejected" if command is Approve else APPROVED)
    boto3.client("sagemaker").update_model_package(ModelPackageArn=arn, ApprovalDescription=FORGED)
    execution.run(command, [group, "--note", "fine \x1b[31m"])
    execution.run(Models, [group])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\x85" not in said
    assert "before, since" in said
    assert "\\x1b[2J\\x85ncf: Approved \\u202e<b>|`x`[bold]" in said


def test_the_summary_of_a_selection_shows_notes_as_text(aws: Aws, tmp_path: Path) -> None:
    arn = new_package(aws, new_group(aws, "summary"), APPROVED)
    boto3.client("sagemaker").update_model_package(
        ModelPackageArn=arn, ApprovalDescription=FORGED, CustomerMetadataProperties={"link": "https://x.example/a_b_c"}
    )
    containers = [{**IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}]
    boto3.client("sagemaker").update_model_package(
        ModelPackageArn=arn, InferenceSpecification={"Containers": containers}
    )
    execution.run(SelectPackage, [f"--arn={tmp_path}/arn", f"--summary={tmp_path}/summary", "--package", arn])
    rows = [line for line in (tmp_path / "summary").read_text().splitlines() if line.startswith("| approved")]
    assert len(rows) == 1
    assert "<b>" not in rows[0]
    assert rows[0].replace("\\|", "").count("|") == 3


def test_a_group_of_150_versions_is_listed_whole(aws: Aws, capsys: Any) -> None:
    group = new_group(aws, "many")
    for number in range(150):
        new_package(aws, group, APPROVED if number == 0 else "Rejected")
    assert [package.version for package in packages(aws, group, APPROVED)] == [1]
    execution.run(Models, [group, "--limit", "1000"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(line[0]) for line in lines if len(line) > 1 and line[0].isdigit()] == list(range(150, 0, -1))


def test_a_version_that_is_deleted_after_it_was_listed_is_passed_over(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, sagemaker = new_group(aws, "vanishing"), boto3.client("sagemaker")
    arns = [new_package(aws, group) for _ in range(3)]
    call = Aws.call

    def deleting(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        if operation == "list_model_packages" and arns[2:]:
            sagemaker.delete_model_package(ModelPackageName=arns.pop())
        return answer

    monkeypatch.setattr(Aws, "call", deleting)
    assert find(aws, group).version == 2
