"""``ncf models``: packages beside the live one, as a table and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from model_packages import PACKAGE_ARN, clients, endpoint_of_package, new_group, new_package, registry_account

from components.local.aws import LocalAws
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.operators.approve import Approve
from ncf.operators.models import Models
from ncf.sagemaker.registry.names import APPROVED, REJECTED
from ncf.sagemaker.registry.properties import DIFF, GATE, HR, NDCG, RELEASE, RUN
from ncf.stage import execution


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with registry_account(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def aws(local: LocalAws) -> Aws:
    return clients()


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="module")
def group(local: LocalAws, aws: Aws) -> str:
    """Five packages: live, approved, rejected, of other software, pending."""
    name = new_group(aws, "shop")
    live = new_package(
        aws, name, APPROVED, CustomerMetadataProperties={NDCG: "0.1000", HR: "0.2000", RELEASE: "at_once"}
    )
    for endpoint in ("ncf-shop", "ncf-mail"):
        endpoint_of_package(local, aws, endpoint, live)
    former = new_package(aws, name, APPROVED, CustomerMetadataProperties={NDCG: "0.0900"})
    assert former == f"{PACKAGE_ARN}/shop/2"
    gate = {NDCG: "0.0500", HR: "0.1000", GATE: "closed: NDCG is lower"}
    new_package(aws, name, REJECTED, CustomerMetadataProperties=gate)
    new_package(aws, name, CustomerMetadataProperties={NDCG: "high", HR: "1e999"})
    properties = {NDCG: "0.1250", HR: "0.1900", RELEASE: "on_approval", RUN: "run-5", DIFF: "s3://bucket/diff"}
    new_package(aws, name, CustomerMetadataProperties=properties)
    return name


def rows(text: str) -> dict[str, str]:
    """Lines of a printed table by version, with single blanks."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if line[:1].isdigit()}


def test_a_table_beside_the_live_model(aws: Aws, group: str, capsys: Any) -> None:
    execution.run(Models, [group])
    said = capsys.readouterr().out
    found = rows(said)
    assert list(found) == ["5", "4", "3", "2", "1"]
    assert found["5"] == "Pending 0 min 0.1250 (+0.0250) 0.1900 (-0.0100) on_approval"
    assert found["4"] == "Pending 0 min"
    assert re.fullmatch(r"Rejected 0 min 0.0500 .* by \S+: closed: NDCG is lower", found["3"])
    assert re.fullmatch(r"Approved 0 min 0.0900 \(-0.0100\) by \S+", found["2"])
    assert re.fullmatch(r"Approved 0 min 0.1000 0.2000 ncf-mail ncf-shop at_once by \S+", found["1"])
    assert "the difference from shop version 1, which is live" in said
    assert said.rstrip().endswith("ncf diff ncf-mail shop/5 --html diff.html\n  ncf approve shop/5 --note 'REASON'")


def test_a_narrow_table_breaks_no_word(aws: Aws, group: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    execution.run(Models, [group])
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    for word in ("version", "NDCG@10", "on_approval", "(-0.0100)", "ncf-shop", "Approved", "decision"):
        assert word in said


def test_the_live_model_counts_if_it_is_not_listed(aws: Aws, group: str, capsys: Any) -> None:
    execution.run(Models, [group, "--limit", "1"])
    found = rows(capsys.readouterr().out)
    assert list(found) == ["5"]
    assert "0.1250 (+0.0250)" in found["5"]


def test_json_has_all_that_the_package_records(aws: Aws, group: str, capsys: Any) -> None:
    execution.run(Models, [group, "--json"])
    newest, other, *_, live = json.loads(capsys.readouterr().out)
    assert (newest["package"], newest["arn"], newest["status"]) == (
        "shop/5",
        f"{PACKAGE_ARN}/shop/5",
        "PendingManualApproval",
    )
    assert (newest["ndcg_at_10"], newest["hr_at_10"], newest["run"]) == (0.125, 0.19, "run-5")
    assert (newest["diff"], newest["decided_by"], newest["endpoints"]) == ("s3://bucket/diff", "", [])
    assert other["ndcg_at_10"] is other["hr_at_10"] is None
    assert (live["endpoints"], live["properties"][RELEASE]) == (["ncf-mail", "ncf-shop"], "at_once")


def test_who_decided_is_shown(aws: Aws, capsys: Any) -> None:
    name = new_group(aws, "decided")
    new_package(aws, name)
    execution.run(Approve, [name, "--note", "fine"])
    capsys.readouterr()
    execution.run(Models, [name])
    said = capsys.readouterr().out
    assert re.fullmatch(r"Approved 0 min by \S+: fine", rows(said)["1"])
    assert "release" not in said, "an empty column"
    assert "Next" not in said


def test_a_record_is_not_suggested_for_approval(aws: Aws, capsys: Any) -> None:
    name = new_group(aws, "records")
    new_package(aws, name)
    new_package(aws, name, CustomerMetadataProperties={RELEASE: "never"})
    execution.run(Models, [name])
    assert capsys.readouterr().out.rstrip().endswith("ncf approve records/1 --note 'REASON'")


def test_a_group_without_versions_and_no_group(aws: Aws, capsys: Any) -> None:
    name = new_group(aws, "empty")
    execution.run(Models, [name])
    assert capsys.readouterr().out == "the model package group empty has no versions\n"
    execution.run(Models, [name, "--json"])
    assert json.loads(capsys.readouterr().out) == []
    with pytest.raises(
        InputError,
        match="no run has registered a model in .*'ncf' in us-east-1 yet; 'ncf models GROUP' .*: .*empty, .*shop",
    ):
        execution.run(Models, [])
    with pytest.raises(InputError, match="'group' is 'a_b': expected the name"):
        execution.run(Models, ["a_b"])
