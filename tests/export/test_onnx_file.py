"""Files of ONNX: weights inside or beside, versions, the same bytes each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import answer, for_users
from random_model import random_model

from ncf.artifacts.model_folder import ModelName
from ncf.export import onnx_file
from ncf.export.networks import networks

LARGE = 500  # bytes


@pytest.mark.parametrize("name", ["history", "neumf"])
def test_large_weights_are_beside(name: ModelName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(name)
    request = for_users(model, [0, 5])
    onnx_file.write_all(tmp_path / "small", networks(model), "0123")
    monkeypatch.setattr(onnx_file, "EMBEDDED_UP_TO", LARGE)
    onnx_file.write_all(tmp_path / "written", networks(model), "0123")
    large = tmp_path / "large"
    shutil.move(tmp_path / "written", large)
    assert {path.name for path in (tmp_path / "small").iterdir()} == {"scores.onnx", "catalogue.onnx"}
    names = [f"{network}.onnx{suffix}" for network in ("catalogue", "scores") for suffix in ("", ".data")]
    assert sorted(path.name for path in large.iterdir()) == names
    onnx.checker.check_model(str(large / "catalogue.onnx"), full_check=True)
    expected = answer(tmp_path / "small" / "catalogue.onnx", request)
    np.testing.assert_array_equal(answer(large / "catalogue.onnx", request), expected)
    _check_places(large / "catalogue.onnx")


def _check_places(path: Path) -> None:
    """All floats are beside, at the beginning of a page each."""
    graph = onnx.load(path, load_external_data=False).graph
    for tensor in graph.initializer:
        assert (tensor.data_location == onnx.TensorProto.EXTERNAL) == (tensor.data_type == onnx.TensorProto.FLOAT)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        assert not tensor.raw_data or not entries
        if entries:
            assert entries["location"] == f"{path.name}.data"
            assert int(entries["offset"]) % 4096 == 0
            assert int(entries["length"]) == 4 * np.prod(tensor.dims)


def test_the_limit_is_below_that_of_protobuf() -> None:
    assert onnx_file.EMBEDDED_UP_TO < onnx.checker.MAXIMUM_PROTOBUF


@pytest.mark.parametrize("embedded_up_to", [onnx_file.EMBEDDED_UP_TO, LARGE])
def test_the_same_model_has_the_same_bytes(
    embedded_up_to: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "EMBEDDED_UP_TO", embedded_up_to)
    for name in ("first", "second"):
        onnx_file.write_all(tmp_path / name, networks(random_model("neumf")), "0123")
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_a_file_says_its_versions(tmp_path: Path) -> None:
    onnx_file.write_all(tmp_path / "onnx", networks(random_model("gmf")), "0123")
    content = onnx.load(tmp_path / "onnx" / "scores.onnx")
    assert {entry.key: entry.value for entry in content.metadata_props} == {"ncf_model_version": "0123"}
    assert [(entry.domain, entry.version) for entry in content.opset_import] == [("", onnx_file.OPSET)]
    assert content.ir_version == onnx_file.IR_VERSION
    assert (content.producer_name, content.graph.name) == ("ncf", "scores")


def test_tables_are_stored_once(tmp_path: Path) -> None:
    """A history model reads the items of users and those that it scores from one table."""
    model = random_model("history", n_items=5000, factors=16)
    onnx_file.write_all(tmp_path / "onnx", networks(model), "0123")
    table = model.weights["item_gmf.weight"].nbytes
    for name in ("scores", "catalogue"):
        assert (tmp_path / "onnx" / f"{name}.onnx").stat().st_size < 1.2 * table
