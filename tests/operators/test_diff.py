"""``ncf diff``: two models named as folders, archives or endpoints."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluate_stage import make, undrawn
from local_account import BUCKET, local_account
from model_packages import clients, new_group, new_package
from runs import deploy

from ncf.errors import InputError
from ncf.evaluation import champion
from ncf.operators.diff import Diff
from ncf.stage import execution
from ncf.storage import upload


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(champion, "MIN_COMPARABLE", 10)
    monkeypatch.setenv("COLUMNS", "100")
    with undrawn():
        yield


def test_a_folder_and_an_archive_with_metrics(tmp_path: Path, capsys: Any) -> None:
    before, _ = make(tmp_path / "before", seed=1)
    after, samples = make(tmp_path / "after")
    with tarfile.open(tmp_path / "after.tar.gz", "w:gz") as archive:
        archive.add(after, "model")
    page = tmp_path / "diff.html"
    execution.run(Diff, [str(before), str(tmp_path / "after.tar.gz"), "--samples", str(samples), "--html", str(page)])
    said = capsys.readouterr().out
    assert re.match(r"The lists of \d\d of 40 users change\.\n", said)
    assert f"Before: {before} (version " in said
    assert re.search(r"NDCG@10, whole catalogue │ 0\.\d{4} │ 1\.0000 │    \+0\.", said)
    assert f"written: {page}" in said
    html = page.read_text()
    assert "20 users side by side" in html
    assert html.count("<caption>User u") == 20
    assert '<td class="bad">− Title' in html


def test_a_model_beside_itself(tmp_path: Path, capsys: Any) -> None:
    model, _ = make(tmp_path)
    execution.run(Diff, [str(model), f"{model}/"])
    said = capsys.readouterr().out
    assert said.startswith("No list changes.\n")
    assert "No samples are given" in said
    assert "gain exposure" not in said


def test_what_an_endpoint_serves(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "account").mkdir()
    with local_account(tmp_path / "account"):
        deploy(tmp_path, "ncf-shown", "run-1", 1)
        capsys.readouterr()
        execution.run(Diff, ["ncf-shown", "ncf-shown"])
        assert capsys.readouterr().out.startswith("No list changes.\nBefore: endpoint ncf-shown (version ")
        with pytest.raises(
            InputError, match="'after' is 'nobody': There is no endpoint nobody in .*; expected a model"
        ):
            execution.run(Diff, ["ncf-shown", "nobody"])


def test_packages(tmp_path: Path, capsys: Any) -> None:
    model, _ = make(tmp_path)
    (tmp_path / "account").mkdir()
    with local_account(tmp_path / "account"):
        upload(model, f"s3://{BUCKET}/model")
        aws = clients()
        source = {"S3Uri": f"s3://{BUCKET}/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": {"S3DataSource": source}}
        arn = new_package(aws, new_group(aws, "shop"), InferenceSpecification={"Containers": [container]})
        execution.run(Diff, ["shop/1", arn])
        said = capsys.readouterr().out
        assert said.startswith("No list changes.\nBefore: shop version 1 (version ")
        with pytest.raises(InputError, match="'after' is 'shop/2': there is no model package .*shop/2"):
            execution.run(Diff, ["shop/1", "shop/2"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "{model}/absent"], "parameter 'after' is '.*absent': there is no such file or folder; expected a"),
        (["{model}", "{samples}"], "parameter 'after' is '.*samples': .*; expected a model folder"),
        (["{model}", "{model}", "--html", "{model}"], "'html' is '.*model', which is a folder; expected the name"),
        (["{model}", "{model}", "--users", "0"], "'users' is 0"),
        (["{model}"], "AFTER|after"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    with pytest.raises(InputError, match=message):
        execution.run(Diff, [text.format(model=model, samples=samples) for text in arguments])
