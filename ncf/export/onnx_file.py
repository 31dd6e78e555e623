"""Networks as files of ONNX, large weights in a file beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import ncf
from ncf.export.networks import Network, Tensor

EMBEDDED_UP_TO = 1 << 30
"""Bytes of weights inside the file. A message of protobuf has less than 2 GiB, and its writer needs a copy."""
OPSET, IR_VERSION = 17, 8
"""Versions of ONNX 1.12 (2022), so that older releases of ONNX Runtime and Triton read the files too."""
VERSION_KEY = "ncf_model_version"
"""Key of the model's version in the metadata."""
_ALIGNMENT = 4096  # a page, so that weights can be memory-mapped


def write_all(folder: Path, networks: Sequence[Network], version: str) -> None:
    """Write ``NAME.onnx`` for each network, and create the folder."""
    folder.mkdir()
    for network in networks:
        write(folder / f"{network.name}.onnx", network, version)


def write(path: Path, network: Network, version: str) -> None:
    """Write a network. Weights of more than ``EMBEDDED_UP_TO`` bytes go to ``PATH.data``.

    Args:
        path: file to write.
        network: the network.
        version: of the model.
    """
    is_large = sum(array.nbytes for array in network.weights.values()) > EMBEDDED_UP_TO
    beside = path.with_name(f"{path.name}.data")
    weights = _beside(beside, network.weights) if is_large else _embedded(network.weights)
    graph = helper.make_graph(
        network.nodes,
        network.name,
        [_value(tensor) for tensor in network.inputs],
        [_value(network.output)],
        weights,
    )
    content = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ncf",
        producer_version=ncf.__version__,
    )
    helper.set_model_props(content, {VERSION_KEY: version})
    path.write_bytes(content.SerializeToString(deterministic=True))


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, helper.np_dtype_to_tensor_dtype(tensor.dtype), tensor.shape)


def _embedded(weights: Mapping[str, NDArray[Any]]) -> list[TensorProto]:
    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]


def _beside(path: Path, weights: Mapping[str, NDArray[Any]]) -> list[TensorProto]:
    """Write the numbers to a file. Axes and bounds, which shapes depend on, stay in the graph."""
    tensors = _embedded({name: array for name, array in weights.items() if array.dtype != np.float32})
    with path.open("wb") as stream:
        for name, array in weights.items():
            if array.dtype != np.float32:
                continue
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            tensor = TensorProto(
                name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL
            )
            entries = {"location": path.name, "offset": stream.tell(), "length": array.nbytes}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
            np.ascontiguousarray(array, "<f4").tofile(stream)
            tensors.append(tensor)
    return tensors
