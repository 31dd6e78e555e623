"""Networks as a model repository of Triton Inference Server, for its backend onnxruntime.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ncf.api.limits import MAX_USERS
from ncf.export import onnx_file
from ncf.export.networks import Network, Tensor

PREFIX = "ncf_"
"""What the names of models begin with in the repository."""
LARGEST_RESULT_BYTES = 1 << 30
"""Largest intermediate result of a batch."""
_TYPES = {"int64": "TYPE_INT64", "float32": "TYPE_FP32"}
_FIRST_VERSION = "1"


def write_all(folder: Path, networks: Sequence[Network], version: str) -> None:
    """Write ``ncf_NAME/config.pbtxt`` and ``ncf_NAME/1/model.onnx`` for each network, and create the folder."""
    folder.mkdir()
    for network in networks:
        model = folder / f"{PREFIX}{network.name}"
        (model / _FIRST_VERSION).mkdir(parents=True)
        onnx_file.write(model / _FIRST_VERSION / "model.onnx", network, version)
        (model / "config.pbtxt").write_text(config(network, version))


def config(network: Network, version: str) -> str:
    """Text form of Triton's ``ModelConfig``.

    Args:
        network: the network.
        version: of the model.
    """
    lines = [
        f'name: "{PREFIX}{network.name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {max_batch_size(network)}",
        *(f"input {_tensor(tensor)}" for tensor in network.inputs),
        f"output {_tensor(network.output)}",
        "dynamic_batching { }",
        "instance_group { count: 1 kind: KIND_AUTO }",
        f'parameters {{ key: "{onnx_file.VERSION_KEY}" value {{ string_value: "{version}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def max_batch_size(network: Network) -> int:
    """Users of a batch: those of a request to the endpoint, fewer where memory bounds them."""
    if not network.values_per_user:
        return MAX_USERS
    return max(1, min(MAX_USERS, LARGEST_RESULT_BYTES // (4 * network.values_per_user)))


def _tensor(tensor: Tensor) -> str:
    """A tensor without the size of the batch. Triton needs one size more, which ``reshape`` removes again."""
    sizes = [str(size) if isinstance(size, int) else "-1" for size in tensor.shape[1:]]
    shape = f"dims: [ {', '.join(sizes)} ]" if sizes else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'{{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype.name]} {shape} }}'
