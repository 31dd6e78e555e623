"""Model repositories of Triton: layout, and configurations that its own message reads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exported import answer, for_users
from google.protobuf import text_format
from random_model import random_model

from ncf.api.limits import MAX_USERS
from ncf.artifacts.model_folder import ModelName
from ncf.export import onnx_file, triton
from ncf.export.networks import networks
from ncf.models.scorer import Scorer

TYPES = {onnx.TensorProto.INT64: "TYPE_INT64", onnx.TensorProto.FLOAT: "TYPE_FP32"}


@pytest.fixture(scope="module")
def messages() -> Any:
    """Triton's messages. The package of this module needs grpcio, the module does not."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    (folder,) = package.submodule_search_locations or ()
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(folder) / "grpc" / "model_config_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["history", "gmf", "mlp", "neumf"])
def name(request: pytest.FixtureRequest) -> ModelName:
    return request.param


def test_a_configuration_describes_the_network(name: ModelName, messages: Any, tmp_path: Path) -> None:
    triton.write_all(tmp_path / "repository", networks(random_model(name)), "0123")
    folders = sorted(path for path in (tmp_path / "repository").iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == ["ncf_catalogue", "ncf_scores"]
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["1", "config.pbtxt"]
        config = text_format.Parse((folder / "config.pbtxt").read_text(), messages.ModelConfig())
        graph = onnx.load(folder / "1" / "model.onnx").graph
        assert config.name == folder.name
        assert config.backend == "onnxruntime"
        assert config.max_batch_size == MAX_USERS
        assert config.HasField("dynamic_batching")
        (group,) = config.instance_group
        assert (group.kind, group.count) == (messages.ModelInstanceGroup.KIND_AUTO, 1)
        assert config.parameters["ncf_model_version"].string_value == "0123"
        assert [_of_config(tensor, messages) for tensor in config.input] == [_of_graph(t) for t in graph.input]
        assert [_of_config(tensor, messages) for tensor in config.output] == [_of_graph(t) for t in graph.output]


def _of_config(tensor: Any, messages: Any) -> tuple[str, str, list[int]]:
    """Name, type and shape that the backend passes to the network: the size of the batch, then ``dims`` reshaped."""
    assert tensor.dims, "Triton refuses a tensor without dims"
    if tensor.HasField("reshape"):
        assert np.prod(tensor.dims) == np.prod(tensor.reshape.shape)
    shape = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
    return tensor.name, messages.DataType.Name(tensor.data_type), [-1, *shape]


def _of_graph(tensor: onnx.ValueInfoProto) -> tuple[str, str, list[int]]:
    kind = tensor.type.tensor_type
    sizes = [-1 if size.HasField("dim_param") else size.dim_value for size in kind.shape.dim]
    return tensor.name, TYPES[kind.elem_type], sizes


def test_the_networks_answer_from_the_repository(
    name: ModelName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "EMBEDDED_UP_TO", 1000)
    model = random_model(name)
    triton.write_all(tmp_path / "repository", networks(model), "0123")
    found = answer(tmp_path / "repository" / "ncf_catalogue" / "1" / "model.onnx", for_users(model, [3, 4]))
    expected = Scorer(model.config, model.weights, model.seen).score_all(np.array([3, 4]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("available", "batch"), [(1, 1), (3 * 40 * 8 * 4, 3), (4 * 40 * 8 * 4 - 1, 3), (1 << 30, MAX_USERS)]
)
def test_memory_bounds_the_batch(available: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden layer of all items is the largest result: 40 items of 8 numbers for each user."""
    scores, catalogue = networks(random_model("neumf", n_items=40, tower=[16, 8, 4]))
    monkeypatch.setattr(triton, "LARGEST_RESULT_BYTES", available)
    assert triton.max_batch_size(scores) == MAX_USERS
    assert triton.max_batch_size(catalogue) == batch
