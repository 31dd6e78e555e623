"""``ncf export``: the network of a model for other servers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

from ncf.errors import InputError
from ncf.stage.declaration import Input, Output, Stage
from ncf.storage import local_copy

KIND = "export"


class Export(Stage):
    """Write the network of a model as ONNX, or as a model repository of Triton Inference Server.

    Scores are those of the endpoint, for given items or for the whole catalogue. Ids, titles and histories are beside
    the networks.
    """

    calls = ("ncf.storage",)

    model: str = Input("Model", "Model folder that the train stage wrote, or a tar archive of it, such as model.tar.gz")
    format: Literal["onnx", "triton"] = Field(
        "onnx", description="Files: 'onnx' for ONNX Runtime, 'triton' for Triton's backend onnxruntime"
    )

    output: Path = Output("Model", "Folder with the networks, the ids and a manifest")

    def run(self) -> None:
        if find_spec("onnx") is None:
            raise InputError("the package onnx is not installed; install ncf with the extra 'export'")
        from ncf.artifacts import manifest, model_folder
        from ncf.artifacts.archive import unpacked
        from ncf.artifacts.model_folder import ModelFolder
        from ncf.artifacts.provenance import made_by
        from ncf.export import onnx_file, tables, triton
        from ncf.export.networks import networks

        with local_copy(self.model) as copy, unpacked(copy) as folder:
            model = ModelFolder.load(folder).hosted()
            content = manifest.read_unchecked(folder, model_folder.KIND)
            write = onnx_file.write_all if self.format == "onnx" else triton.write_all
            write(self.output, networks(model), model.version)
            tables.write(self.output, model)
        counts = {"users": len(model.user_ids), "items": len(model.item_ids)}
        source = {"fingerprint": manifest.fingerprint(content), **made_by()}
        manifest.write(self.output, KIND, counts, self.parameter_values(), source)
