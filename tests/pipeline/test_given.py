"""What pipeline.py is given is looked at before anything is made or sent."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline
from ncf.data import synthetic

_ROLE = "arn:aws:iam::123456789012:role/x"
_REQUIRED = [f"--param={given}" for given in ("data_uri=s3://b/d", f"train_role={_ROLE}", f"deploy_role={_ROLE}")]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command ends."""
    with pytest.raises(SystemExit) as left:
        pipeline.main(arguments)
    out, err = capsys.readouterr()
    assert left.value.code == 2, err
    assert not out
    assert err.startswith("ncf: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    synthetic.write(tmp_path / "mine", users=40, items=150, interactions=600, seed=3)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data=/nope.csv", "--output=out"], "data: '/nope.csv' does not exist"),
        (["--output=/proc/nope"], "ncf: error: /proc/nope-"),
        (["--output=mine/items.csv"], "output: 'mine/items.csv' is a file; expected a new name"),
        (["--data=mine", "--output=mine/out"], "beside 'mine/out', which lies inside 'data' ('mine')"),
        (["--output=taken"], "output: 'taken' is a folder with files"),
    ],
)
def test_a_run_that_cannot_be_leaves_everything_as_it_is(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (here / "taken").mkdir()
    (here / "taken" / "pipeline.yaml").write_text("mine")
    before = sorted(here.rglob("*"))
    assert said in refused(capsys, "run", *arguments)
    assert sorted(here.rglob("*")) == before


def test_a_batch_does_not_write_into_its_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "model").mkdir()
    assert "which lies inside 'model'" in refused(capsys, "recommend", "--model=model", "--output=model/out")
    assert not list((here / "model").iterdir())


def test_an_empty_uri_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "submit", "--host=http://localhost:1", *_REQUIRED[1:], "--param=data_uri=")
    assert "no default: data_uri" in said
