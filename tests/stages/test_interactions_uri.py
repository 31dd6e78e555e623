"""Interactions at a URI, read by preprocess itself; and what it looks for before the work, for the stages that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from evaluate_stage import undrawn
from local_account import BUCKET, local_account

from ncf import storage
from ncf.artifacts.dataset import Dataset
from ncf.errors import InputError
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess

DATA = f"s3://{BUCKET}/data"
ROWS = "userId,movieId,rating,timestamp\n" + "".join(f"u{n % 3},i{n},4,{100 + n}\n" for n in range(15))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture(autouse=True)
def _undrawn() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture
def put(account: Any, request: pytest.FixtureRequest) -> Callable[[str, str], str]:
    """Writes an object below a prefix of this test's own, whose URI it returns."""
    s3, prefix = boto3.client("s3"), f"data/{request.node.name}"

    def write(name: str, text: str = "") -> str:
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=text.encode())
        return f"s3://{BUCKET}/{prefix}"

    return write


def flags(folder: Path, *more: str) -> list[str]:
    outputs = [f"--{name}={folder / name}" for name in ("dataset", "report", "metrics")]
    return [*outputs, *more]


def test_a_folder_with_a_marker_object_and_other_files(put: Any, tmp_path: Path, account: Any) -> None:
    """KFP's importer fails on the marker, which S3's console makes for each folder, and downloads all into the pod."""
    put("", "")
    put("ratings.csv", ROWS)
    put("movies.csv", "movieId,title\ni1,One\n")
    put("users.csv", "userId\nu1\n")
    put("huge.bin", "x")
    put("_temporary/ratings.csv", "nonsense")
    uri = put("README.md", "about")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        original = storage._client

        def client() -> Any:
            made = original()
            read = made.get_object
            made.get_object = lambda **request: seen.append(request["Key"].rsplit("/", 1)[1]) or read(**request)
            return made

        patch.setattr(storage, "_client", client)
        patch.setattr(client, "cache_clear", lambda: None, raising=False)
        original.cache_clear()
        run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}"))
    dataset = Dataset.load(tmp_path / "dataset")
    assert dataset.n_users == 3
    assert "One" in list(dataset.item_titles)
    assert set(seen) == {"movies.csv", "ratings.csv"}, "nothing else is downloaded"


def test_a_release_is_known_by_its_names(put: Any, tmp_path: Path) -> None:
    rows = "".join(f"{user}\t{item}\t1\t{item}\n" for user in range(3) for item in range(4))
    put("x.train.rating", rows)
    put("x.test.rating", "".join(f"{user}\t5\t1\t9\n" for user in range(3)))
    uri = put("x.test.negative", "".join(f"({user},5)\t6\t7\n" for user in range(3)))
    run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}"))
    assert len(Dataset.load(tmp_path / "dataset").test) == 3


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"{DATA}/nowhere", rf"{DATA}/nowhere: no such object, and no objects under that prefix"),
        ("s3://no-such-bucket/x", "s3://no-such-bucket/x: there is no bucket 'no-such-bucket'"),
    ],
)
def test_nothing_at_the_uri_is_said_with_the_uri(account: Any, uri: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run(Preprocess, flags(tmp_path / "out", f"--interactions-uri={uri}"))
    assert not (tmp_path / "out").exists()


def test_names_that_no_file_system_takes_are_named_by_their_uri(put: Any, tmp_path: Path) -> None:
    put("ratings.csv/ratings-2.csv", ROWS)
    uri = put("ratings.csv", ROWS)
    with pytest.raises(
        InputError, match=rf"{uri}/ratings.csv.*: this name is both an object and the prefix of other objects"
    ):
        run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}"))
    run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}/ratings.csv"))
    long = put(f"deep/{'k' * 300}.csv", ROWS)
    with pytest.raises(InputError, match=rf"{long}/deep/k+\.csv: the name is too long"):
        run(Preprocess, flags(tmp_path, f"--interactions-uri={long}/deep"))


def test_a_folder_without_tables_says_what_it_holds(put: Any, tmp_path: Path) -> None:
    put("a.bin", "x")
    uri = put("b.log", "x")
    with pytest.raises(InputError, match=rf"{uri}: the folder holds a\.bin, b\.log; expected tables"):
        run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "'interactions' or 'interactions_uri' is required, one of them: neither is given"),
        (
            ["--interactions=a", "--interactions-uri=s3://bkt/c"],
            "'interactions' is a and 'interactions_uri' is s3://bkt/c",
        ),
    ],
)
def test_one_source_is_required(given: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run(Preprocess, flags(tmp_path, *given))


@pytest.mark.parametrize("uri", ["minio://mlpipeline/ratings.csv", "gs://bucket/ratings.csv", " "])
def test_what_is_neither_in_s3_nor_a_path_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"'interactions_uri' is '{uri}'; expected an s3:// URI, or a path"):
        run(Preprocess, flags(tmp_path, f"--interactions-uri={uri}"))
    with pytest.raises(InputError, match=rf"'items' is '{uri}'"):
        run(Preprocess, flags(tmp_path, "--interactions=x", f"--items={uri}"))


def test_s3_is_called_in_the_region_that_is_given(account: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (tmp_path / "ratings.csv").write_text(ROWS)
    seen = []
    monkeypatch.setattr("ncf.stages.preprocess.local_copy", lambda *_: seen.append(storage._client().meta.region_name))
    with pytest.raises(TypeError):
        run(Preprocess, flags(tmp_path, f"--interactions={tmp_path / 'ratings.csv'}", "--region=eu-central-1"))
    assert seen == ["eu-central-1"]
    assert storage._client().meta.region_name == "us-east-1", "for the time of the stage alone"
