"""``ncf export``: files, ids, and refusals."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exported import answer, for_users
from random_model import random_model

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import WEIGHTS, ModelFolder
from ncf.errors import InputError
from ncf.export import export, tables
from ncf.serving.recommender import Recommender
from ncf.stage import command, execution

Exported = Callable[..., Path]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    random_model("history", positives=8).save(tmp_path / "model", {}, {})
    return tmp_path / "model"


@pytest.fixture
def exported(model: Path, tmp_path: Path) -> Exported:
    """Runs the command: the folder that it writes."""

    def run(*arguments: str, output: str = "out", source: Path = model) -> Path:
        path = tmp_path / output
        execution.run(command.load("export"), ["--model", str(source), "--output", str(path), *arguments])
        return path

    return run


def test_ids_titles_and_histories_are_beside(model: Path, exported: Exported) -> None:
    """A client finds the answers of the endpoint with them."""
    folder, loaded = exported(), ModelFolder.load(model)
    users, items, titles = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("user_ids", "item_ids", "item_titles")
    )
    assert (users, items) == (list(loaded.user_ids), list(loaded.item_ids))
    assert titles[3] == "Title 3"
    assert titles[0] == ""
    seen, offsets = np.load(folder / "seen_items.npy"), np.load(folder / "seen_offsets.npy")
    user = users.index("u7")
    np.testing.assert_array_equal(seen[offsets[user] : offsets[user + 1]], loaded.seen.of_user(7))
    scores = answer(folder / "catalogue.onnx", for_users(loaded, [user]))[0]
    scores[seen[offsets[user] : offsets[user + 1]]] = -np.inf
    best = np.argsort(-scores)[:10].tolist()
    (expected,) = Recommender(loaded).recommend(["u7"], 10)
    assert [items[item] for item in best] == [item["item"] for item in expected["items"]]
    np.testing.assert_allclose(scores[best], [item["score"] for item in expected["items"]], atol=1e-5)


def test_what_is_hosted_is_exported(tmp_path: Path, exported: Exported) -> None:
    """Its weights, and its users and items that came after training."""
    later = random_model("neumf", n_users=13, n_items=41, seed=1)
    ids = {"user_ids": later.user_ids, "item_ids": later.item_ids, "item_titles": later.item_titles}
    both = dataclasses.replace(random_model("neumf"), hosted_weights=later.weights, seen=later.seen, **ids)
    both.save(tmp_path / "both", {}, {})
    folder = exported(source=tmp_path / "both")
    assert len(json.loads((folder / "item_ids.json").read_text())) == 41
    scores = answer(folder / "catalogue.onnx", {"users": np.array([12])})[0]
    (expected,) = Recommender(ModelFolder.load(tmp_path / "both")).recommend(["u12"], 41, exclude_seen=False)
    found = sorted(((f"i{item}", score) for item, score in enumerate(scores.tolist())), key=lambda pair: -pair[1])
    assert [item for item, _ in found] == [item["item"] for item in expected["items"]]
    np.testing.assert_allclose([score for _, score in found], [i["score"] for i in expected["items"]], atol=1e-5)


@pytest.mark.parametrize("form", ["onnx", "triton"])
def test_the_manifest_lists_all_files(form: str, model: Path, exported: Exported) -> None:
    folder = exported(f"--format={form}")
    content = manifest.read(folder, export.KIND)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {*content["files"], manifest.FILE_NAME} == files
    assert content["counts"] == {"users": 12, "items": 40}
    assert content["parameters"] == {"format": form}
    assert content["source"]["fingerprint"].startswith(ModelFolder.load(model).version)


@pytest.mark.parametrize("form", ["onnx", "triton"])
def test_the_same_model_has_the_same_bytes(form: str, exported: Exported) -> None:
    first, second = (exported(f"--format={form}", output=name) for name in ("first", "second"))
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_a_model_without_titles(tmp_path: Path, exported: Exported) -> None:
    random_model("gmf", titles=False).save(tmp_path / "untitled", {}, {})
    assert not (exported(source=tmp_path / "untitled") / "item_titles.json").exists()


def test_an_archive_is_a_model(model: Path, tmp_path: Path, exported: Exported) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(model, arcname=".")
    from_folder, from_archive = exported(), exported(output="again", source=tmp_path / "model.tar.gz")
    assert (from_folder / manifest.FILE_NAME).read_bytes() == (from_archive / manifest.FILE_NAME).read_bytes()


def test_an_export_replaces_an_export_and_nothing_else(model: Path, tmp_path: Path, exported: Exported) -> None:
    assert not (exported("--format=triton") / "scores.onnx").exists()
    assert not (exported("--format=onnx") / "ncf_scores").exists()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"parameter 'output' is '.*out': that folder exists and holds 'mine.txt'"):
        exported()
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    with pytest.raises(InputError, match="'output' is .*, which is 'model' too"):
        exported(output="model")


def test_a_damaged_model_is_refused(model: Path, tmp_path: Path, exported: Exported) -> None:
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-4])
    with pytest.raises(InputError, match=rf"{WEIGHTS}: has \d+ bytes, the manifest says"):
        exported()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_what_was_there(
    before: bool, tmp_path: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (exported() / manifest.FILE_NAME).read_bytes() if before else b""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        exported("--format=triton")
    assert (tmp_path / "out").exists() == before
    if before:
        assert (tmp_path / "out" / manifest.FILE_NAME).read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "out"}


def test_a_missing_package_is_named(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="onnx is not installed; install ncf with the extra 'export'"):
        exported()


def test_an_unknown_format_is_named(exported: Exported) -> None:
    with pytest.raises(InputError, match="'format' is 'tensorrt'.*'onnx' or 'triton'"):
        exported("--format=tensorrt")


def test_ids_of_any_text_keep_their_places(tmp_path: Path) -> None:
    ids = ['"', "\\", "a\nb", "\u2028", "日本", "007"]
    tables._write_list(tmp_path / "ids.json", ids)
    assert json.loads((tmp_path / "ids.json").read_text(encoding="utf-8")) == ids


def test_a_missing_model_is_named(tmp_path: Path, exported: Exported) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder; expected a model folder"):
        exported(source=tmp_path / "nowhere")


def test_help_does_not_need_the_package() -> None:
    code = "import sys; sys.modules['onnx'] = None; from ncf.stage.command import main; main(['export', '--help'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--format" in ran.stdout
