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
        (["--output=/proc/nope"], "/proc/nope: No such file or directory"),
        (["--output=mine/items.csv"], "output: 'mine/items.csv' is a file; expected a folder"),
        (["--data=mine", "--output=mine/out"], "'mine/out/data', which lies inside 'data' ('mine')"),
        (["--output=taken"], "pipeline.yaml' exists and is not an earlier run's"),
        (["--data=earlier/data/x.csv", "--output=earlier"], "which contains 'data' ('earlier/data/x.csv')"),
    ],
)
def test_a_run_that_cannot_be_leaves_everything_as_it_is(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    for file in ("taken/pipeline.yaml", "earlier/.ncf-run", "earlier/data/x.csv"):
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("mine")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert said in refused(capsys, "run", *arguments)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    assert not (here / "out").exists()


def test_a_batch_does_not_empty_the_folder_of_its_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out" / "artifacts" / "model").mkdir(parents=True)
    (here / "out" / ".ncf-run").touch()
    said = refused(capsys, "recommend", "--model=out/artifacts/model", "--output=out")
    assert "'out/artifacts', which contains 'model'" in said
    assert (here / "out" / "artifacts" / "model").is_dir()


def test_an_empty_uri_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "submit", "--host=http://localhost:1", *_REQUIRED[1:], "--param=data_uri=")
    assert "no default: data_uri" in said
