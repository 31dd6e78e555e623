"""The preprocess stage beside the last good data: of a folder, of a model, of a champion on an account of this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from local_account import BUCKET, local_account
from model_packages import clients, new_group, new_package, specification

from ncf.artifacts import manifest
from ncf.artifacts.profile import profile_in
from ncf.artifacts.provenance import source_of_model
from ncf.errors import InputError
from ncf.sagemaker.registry.names import APPROVED
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess
from ncf.storage import upload


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


def write(path: Path, users: int = 200, days: Sequence[int] = range(30), columns: str = "user,item,timestamp") -> Path:
    """Interactions: each user has one item a day."""
    rows = [
        f"u{user},i{(user + day) % 20},{(19_000 + day) * 86_400 + user * 400}" for day in days for user in range(users)
    ]
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def preprocess(source: Path, output: Path, *arguments: str) -> Path:
    """Run the stage.

    Returns:
        The folder of its outputs.
    """
    outputs = {"dataset": "dataset", "report": "report.html", "metrics": "metrics.json"}
    flags = [f"--{name}={output / file}" for name, file in outputs.items()]
    run(Preprocess, ["--interactions", str(source), *flags, *arguments])
    return output


@pytest.fixture(scope="module")
def last_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("last")
    return preprocess(write(folder / "ratings.csv"), folder / "out") / "dataset"


def model_of(dataset: Path, folder: Path) -> Path:
    """A folder with the manifest of a model that was fitted on a data set."""
    folder.mkdir()
    content = manifest.read(dataset, "dataset")
    made = source_of_model(content, {"parameters": {}}, {"dataset": "0", "samples": "1"}, {})
    manifest.write(folder, "model", {}, {}, made)
    return folder


def test_the_whole_file_of_the_next_day_is_accepted_and_half_of_it_is_not(last_good: Path, tmp_path: Path) -> None:
    whole, half = (write(tmp_path / f"{name}.csv", days=range(31)) for name in ("whole", "half"))
    rows = half.read_text().splitlines(keepends=True)
    half.write_text("".join([*rows[:-200], *rows[-199::2]]))
    report = (preprocess(whole, tmp_path / "whole", f"--last-good={last_good}") / "report.html").read_text()
    assert "Comparison with the last good data" in report
    assert "140 or more" in report, "rows of the newest day: 200 less 30 %"
    with pytest.raises(
        InputError, match=r"24 hours up to .*: 100, last good 200, expected 140 or more \(limit 'rows_a"
    ):
        preprocess(half, tmp_path / "half", f"--last-good={last_good}")
    assert not (tmp_path / "half" / "dataset").exists()
    preprocess(half, tmp_path / "accepted", f"--last-good={last_good}", "--limits=rows_a_day=0.5")
    preprocess(half, tmp_path / "not", "--last-good=none")


def test_all_that_is_beyond_its_limit_is_named(last_good: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "r.csv", users=50, days=range(20), columns="user,item,x")
    with pytest.raises(InputError) as error:
        preprocess(other, tmp_path / "out", f"--last-good={last_good}", "--timestamp-column=none")
    for named in ("'rows'", "'users'", "'columns'", "data_limits", "data_last_good", str(last_good), str(other)):
        assert named in str(error.value)
    assert "'items'" not in str(error.value)


def test_a_model_s_manifest_has_the_figures_of_its_data(last_good: Path, tmp_path: Path) -> None:
    model = model_of(last_good, tmp_path / "model")
    assert profile_in(model) == profile_in(last_good)
    half = write(tmp_path / "half.csv", users=100)
    with pytest.raises(InputError, match="Number of users: 100, last good 200"):
        preprocess(half, tmp_path / "out", f"--last-good={model}")


@pytest.mark.parametrize("damage", [lambda source: source.pop("profile"), lambda source: source["profile"].clear()])
def test_data_of_an_earlier_version_are_no_reason_to_fail(
    damage: Callable[[dict[str, Any]], object], last_good: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(last_good, older)
    content = json.loads((older / "manifest.json").read_text())
    damage(content["source"])
    (older / "manifest.json").write_text(json.dumps(content))
    half = write(tmp_path / "half.csv", users=100)
    report = (preprocess(half, tmp_path / "out", f"--last-good={older}") / "report.html").read_text()
    assert "read by an earlier version" in report


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "r.csv", users=20)
    for given, message in ((str(tmp_path / "absent"), "no such folder"), (str(source), "no such folder")):
        with pytest.raises(InputError, match=message):
            preprocess(source, tmp_path / "out", f"--last-good={given}")
    for arguments, message in (
        (["--last-good="], "expected 'champion', 'none'"),
        (["--limits=row=1"], "there is no limit 'row'; expected rows, rows_a_day"),
        (["--limits=rows=-1"], "the limit 'rows' is -1; expected 0 or more"),
    ):
        with pytest.raises((InputError, ValueError), match=message):
            preprocess(source, tmp_path / "out", *arguments)


def test_the_champion_s_data_are_the_last_good_ones(account: Any, last_good: Path, tmp_path: Path) -> None:
    uri = f"s3://{BUCKET}/last-good/model"
    upload(model_of(last_good, tmp_path / "model"), uri)
    half = write(tmp_path / "half.csv", users=100)
    group = new_group(clients(), "last-good")
    report = (preprocess(half, tmp_path / "first", f"--champion-group={group}") / "report.html").read_text()
    assert "There is none: No other version of the model package group last-good is live or approved.<" in report
    new_package(clients(), group, APPROVED, InferenceSpecification=specification(uri))
    with pytest.raises(
        InputError, match=r"those of approved package last-good version 1: Number of rows: 3,000, last good 6,000"
    ):
        preprocess(half, tmp_path / "out", f"--champion-group={group}")
    deleted = specification(f"s3://{BUCKET}/last-good/deleted")
    new_package(clients(), group, APPROVED, InferenceSpecification=deleted)
    report = (preprocess(half, tmp_path / "second", f"--champion-group={group}") / "report.html").read_text()
    assert "the model of approved package last-good version 2 cannot be read" in report
