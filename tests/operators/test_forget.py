"""``ncf forget``: users who are left out from now on, and where they still are."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
import torch
from local_account import BUCKET, local_account
from model_packages import clients, new_group, new_package, specification
from pyarrow import parquet
from random_model import random_model
from shop import Shop

from ncf.artifacts import manifest
from ncf.artifacts.forgotten import Forgotten
from ncf.errors import InputError
from ncf.export import tables
from ncf.operators.forget import Forget
from ncf.sagemaker.hosting.deployed_model import deployed_model
from ncf.stage.command import load
from ncf.stage.execution import run
from ncf.storage import list_objects, split_uri, upload

USERS = ["u3", "u7", "nobody"]


@pytest.fixture
def users(tmp_path: Path) -> str:
    path = tmp_path / "users.txt"
    path.write_text("user_id\n" + "\n".join(USERS) + "\n")
    return str(path)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def prepared(data: Path, folder: Path, *arguments: str) -> Path:
    """Stages from raw data to a model."""
    path = {name: str(folder / name) for name in ("dataset", "samples", "model", "report", "metrics")}
    flags = [f"--{name}={path[name]}" for name in ("dataset", "report", "metrics")]
    run(load("preprocess"), [f"--interactions={data}", *flags, *arguments])
    inputs = [f"--{name}={path[name]}" for name in ("dataset", "samples")]
    run(load("negative-sampling"), [*inputs, "--candidates=20"])
    outputs = [f"--trained-model={path['model']}", f"--metrics={path['metrics']}"]
    run(load("fit"), [*inputs, *outputs, "--epochs=1", "--factors=8", "--device=cpu", "--threads=1"])
    return folder / "model"


def test_a_new_fit_with_the_list_has_the_bytes_of_one_without_the_rows(users: str, tmp_path: Path) -> None:
    rows = [
        f"u{user},i{7 * user * place % 60},{1_000_000 + user + place}" for user in range(30) for place in range(1, 9)
    ]
    (tmp_path / "all.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    by_hand = [row for row in rows if row.partition(",")[0] not in USERS]
    (tmp_path / "kept.csv").write_text("\n".join(["user,item,timestamp", *by_hand]) + "\n")
    lists = str(tmp_path / "forgotten")
    run(Forget, ["--users", users, "--forgotten-uri", lists])
    models = [
        prepared(tmp_path / "all.csv", tmp_path / "one", "--forgotten-uri", lists),
        prepared(tmp_path / "kept.csv", tmp_path / "other"),
    ]
    one, other = (manifest.read(model, "model")["files"] for model in models)
    assert one.pop("history.json") != {}
    assert one == {name: entry for name, entry in other.items() if name != "history.json"}
    run(Forget, ["--users", users, "--scan", str(tmp_path / "one")])
    with pytest.raises(SystemExit) as ended:
        run(Forget, ["--users", users, "--scan", str(tmp_path / "all.csv")])
    assert ended.value.code == 1


def test_users_are_added_once_and_each_call_writes_a_file(
    users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = tmp_path / "deep" / "forgotten"
    arguments = ["--users", users, "--forgotten-uri", str(lists)]
    run(Forget, arguments)
    said = capsys.readouterr().out
    assert said.startswith(f"{lists}: 3 users added; 3 in all\n")
    assert f"--param data_forgotten_uri={lists}" in said
    assert not any(user in said for user in USERS)
    run(Forget, arguments)
    assert "0 users added, 3 were there; 3 in all" in capsys.readouterr().out
    Path(users).write_text("u3\nu9\n")
    run(Forget, arguments)
    assert "1 users added, 1 were there; 4 in all" in capsys.readouterr().out
    assert len(list(lists.iterdir())) == 2
    assert len(Forgotten.load(lists).hashes) == 1, "one salt, so that preprocess hashes each id once"


def test_recurring_runs_may_begin_with_an_empty_list(tmp_path: Path, users: str) -> None:
    lists = tmp_path / "forgotten"
    run(Forget, ["--forgotten-uri", str(lists)])
    assert len(Forgotten.load(lists)) == 0
    run(Forget, ["--users", users, "--forgotten-uri", str(lists)])
    assert len(Forgotten.load(lists)) == 3
    run(Forget, ["--forgotten-uri", str(lists)])
    assert len(list(lists.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "'forgotten_uri' or 'scan' is required, one of them: neither"),
        (["--users", "USERS", "--forgotten-uri", "x", "--scan", "y"], "one of them: both are given"),
        (["--scan", "y"], "'scan' needs the parameter 'users'"),
        (["--users", "EMPTY", "--scan", "y"], "has no user"),
        (["--users", "USERS", "--scan", "./nowhere"], "nowhere: there is nothing"),
        (["--users", "USERS", "--scan", "gs://b/x"], "expected an s3:// URI"),
        (["--users", "USERS", "--forgotten-uri", "USERS"], "a file; expected a folder"),
        (["--users", "missing.txt", "--forgotten-uri", "x"], "missing.txt: no such file"),
    ],
)
def test_invalid_input_writes_nothing(
    arguments: list[str], reason: str, users: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    before = sorted(tmp_path.rglob("*"))
    given = {"USERS": users, "EMPTY": "empty.txt"}
    with pytest.raises(InputError, match=reason):
        run(Forget, [given.get(argument, argument) for argument in arguments])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_malformed_list_is_not_added_to(users: str, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "users.txt").write_text("u3\n")
    with pytest.raises(InputError, match=r"users\.txt: not a list of forgotten users"):
        run(Forget, ["--users", users, "--forgotten-uri", str(tmp_path / "lists")])


def record(data: str, encoding: str = "JSON") -> str:
    side = {"observedContentType": "application/json", "mode": "INPUT", "data": data, "encoding": encoding}
    return json.dumps({"captureData": {"endpointInput": side}, "eventVersion": "0"})


def write_lines(*records: str) -> Callable[[Path], None]:
    return lambda path: path.with_suffix(".jsonl").write_text("\n".join(records) + "\n") and None


def write_csv(path: Path) -> None:
    with gzip.open(path.with_suffix(".csv.gz"), "wt") as stream:
        stream.write("itemId,userId\nu1,u3\nu3,u2\n")


def write_headerless(path: Path) -> None:
    path.with_suffix(".tsv").write_text("u7\ti1\t5\nu7\ti2\t5\n")


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.table({"user": ["u1", "u3", "u7"], "item": ["u3"] * 3}), path.with_suffix(".parquet"))


def write_model(path: Path) -> None:
    random_model().save(path, {}, {})


def write_export(path: Path) -> None:
    path.mkdir()
    tables.write(path, random_model())


def write_archive(path: Path) -> None:
    random_model().save(path, {}, {})
    with tarfile.open(path.with_suffix(".tar.gz"), "w:gz") as archive:
        for file in path.iterdir():
            archive.add(file, file.name)
    shutil.rmtree(path)


HOLDING: dict[str, tuple[Callable[[Path], Any], int]] = {
    "model": (write_model, 2),
    "export": (write_export, 2),
    "archive": (write_archive, 2),
    "parquet": (write_parquet, 2),
    "csv": (write_csv, 1),
    "headerless": (write_headerless, 1),
    "request": (write_lines(record('{"users": ["u1", "u3"], "k": 3}')), 1),
    "request of a user": (write_lines(record('{"user": "u7", "items": ["u3"]}')), 1),
    "several requests": (write_lines(record('{"users": ["u1"]}\n{"users": ["u7"]}')), 1),
    "request in base64": (write_lines(record(base64.b64encode(b'{"users": ["u3"]}').decode(), "BASE64")), 1),
    "request in CSV": (write_lines(record("u1,i1\nu7,i2", "CSV")), 1),
    "answer": (write_lines(json.dumps({"recommendations": [{"user": "u3", "items": []}]})), 1),
}


@pytest.mark.parametrize("name", HOLDING)
def test_users_are_found(name: str, users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    writer, count = HOLDING[name]
    writer(folder / "file")
    with pytest.raises(SystemExit) as ended:
        run(Forget, ["--users", users, "--scan", str(folder)])
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert f": {count} of 3 users" in said
    assert "1 of 1 files hold users of the list; 0 could not be read" in said
    assert not any(f" {user}" in said for user in USERS)


def test_places_without_the_users_are_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    for name, (writer, _) in HOLDING.items():
        writer(folder / name)
    (folder / "report.html").write_text("u3")
    other = tmp_path / "other.txt"
    other.write_text("u333\ni1\n")
    run(Forget, ["--users", str(other), "--scan", str(folder)])
    assert f"0 of {len(HOLDING)} files hold users" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "content"), [("part.parquet", b"PAR1 damaged"), ("user_ids.json", b'["u1",')])
def test_a_file_that_cannot_be_read_is_not_clean(
    name: str, content: bytes, users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="1 files could not be read"):
        run(Forget, ["--users", users, "--scan", str(tmp_path / name)])
    assert f"unread  {tmp_path}/{name}: " in capsys.readouterr().out


def test_lists_and_places_in_s3(users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local_account(tmp_path):
        root = f"s3://{BUCKET}/forget"
        lists = f"{root}/forgotten"
        for _ in range(2):
            run(Forget, ["--users", users, "--forgotten-uri", lists])
        assert len(list_objects(lists)) == 1
        (tmp_path / "all.csv").write_text(
            "user,item,timestamp\n" + "".join(f"u3,i{n},{n}\nu1,i{n},{n}\n" for n in range(4))
        )
        outputs = [f"--{name}={tmp_path / name}" for name in ("dataset", "report", "metrics")]
        run(load("preprocess"), [f"--interactions={tmp_path / 'all.csv'}", f"--forgotten-uri={lists}", *outputs])
        assert json.loads((tmp_path / "metrics").read_text())["dropped_forgotten"] == 4
        write_model(tmp_path / "model")
        upload(tmp_path / "model", f"{root}/model")
        upload(tmp_path / "dataset", f"{root}/dataset")
        capsys.readouterr()
        with pytest.raises(SystemExit):
            run(Forget, ["--users", users, "--scan", f"{root}/model,{root}/dataset"])
        said = capsys.readouterr().out
        assert f"found   {root}/model/user_ids.bytes.npy: 2 of 3 users" in said
        assert "1 of 2 files hold users of the list" in said


def test_all_versions_of_a_group_are_searched(users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local_account(tmp_path):
        write_model(tmp_path / "model")
        write_archive(tmp_path / "packed")
        random_model(n_users=3).save(tmp_path / "clean", {}, {})  # u0 to u2
        aws, root = clients(), f"s3://{BUCKET}/models"
        group = new_group(aws, "shop")
        for name in ("model", "packed.tar.gz", "clean"):
            upload(tmp_path / name, f"{root}/{name}")
            new_package(aws, group, InferenceSpecification=specification(f"{root}/{name}"))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            run(Forget, ["--users", users, "--scan", group])
        said = capsys.readouterr().out
        assert f"found   shop version 1 (PendingManualApproval): {root}/model/user_ids.bytes.npy: 2 of 3 users" in said
        assert f"found   shop version 2 (PendingManualApproval): {root}/packed.tar.gz/user_ids.bytes.npy: 2 of" in said
        assert "2 of 3 files hold users of the list" in said
        with pytest.raises(InputError, match="other: no such file or folder, and no model package group"):
            run(Forget, ["--users", users, "--scan", "other"])


def test_after_a_release_without_them_and_a_clean_up_nothing_that_is_live_holds_the_users(
    users: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "account").mkdir()
    with local_account(tmp_path / "account"):
        shop = Shop.open("ncf-forgetful", tmp_path)
        chain = [prepared_in_s3(tmp_path, name, n_users) for name, n_users in (("before", 12), ("after", 3))]
        packages = []
        for (root, model), run_id in zip(chain, ("run-1", "run-2")):
            digest = manifest.fingerprint(manifest.read(model, "model"))
            properties = {"ncf:run": run_id, "ncf:sha256": digest}
            more = {"InferenceSpecification": specification(f"{root}/model"), "CustomerMetadataProperties": properties}
            packages.append(new_package(shop.aws, shop.name, "Approved", **more))
            shop.release(packages[-1], run_id)
        with pytest.raises(SystemExit):
            run(Forget, ["--users", users, "--scan", shop.name])
        assert f"found   {shop.name} version 1 (Approved)" in capsys.readouterr().out

        run(load("clean"), ["--run", "run-1", "--dry-run", "false"])
        delete_objects(chain[0][0])
        assert shop.served() == packages[-1], "the clean-up of the run before leaves what is live"
        capsys.readouterr()
        live = deployed_model(shop.aws, shop.name).uri
        assert live == f"{chain[1][0]}/model"
        run(Forget, ["--users", users, "--scan", f"{shop.name},{live},{chain[1][0]}"])
        said = capsys.readouterr().out
        assert f"gone    {shop.name} version 1 (Approved): {chain[0][0]}/model: deleted" in said
        assert re.search(r"^0 of [3-9] files hold users of the list; 0 could not be read$", said, re.MULTILINE)


def prepared_in_s3(folder: Path, name: str, n_users: int) -> tuple[str, Path]:
    """A model and a table of its users, u0 and further, in S3; the URI of the folder, and the local model."""
    root, local = f"s3://{BUCKET}/{name}", folder / name
    random_model(n_users=n_users).save(local / "model", {}, {})
    (local / "batch.csv").write_text("user,item\n" + "".join(f"u{user},i1\n" for user in range(n_users)))
    upload(local / "model", f"{root}/model")
    upload(local / "batch.csv", f"{root}/batch.csv")
    return root, local / "model"


def delete_objects(uri: str) -> None:
    for name in list_objects(uri):
        bucket, key = split_uri(name)
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("container", [{}, {"ModelDataUrl": "https://bucket.s3.amazonaws.com/model.tar.gz"}])
def test_a_package_of_others_whose_model_cannot_be_searched_is_an_error(
    container: dict[str, str], users: str, tmp_path: Path
) -> None:
    """Not a search of the current folder."""
    (tmp_path / "account").mkdir()
    with local_account(tmp_path / "account"):
        group = new_group(clients(), "foreign")
        image = {"Image": "r.example/ncf-deploy:1.0", **container}
        new_package(clients(), group, InferenceSpecification={"Containers": [image]})
        with pytest.raises(InputError, match="the model of foreign version 1 is at '.*'; expected an s3"):
            run(Forget, ["--users", users, "--scan", group])
