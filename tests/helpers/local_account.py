"""An AWS account on this machine for the tests of train and deploy, and the programs that its images hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_origin
from unittest.mock import patch

from warm_python import shared_python

from components.local.aws import LocalAws, Processes
from ncf import storage
from ncf.aws import session
from ncf.sagemaker.jobs import job as training_job
from ncf.stage.declaration import Stage

BUCKET = "ncf-test"
ROLE = "arn:aws:iam::123456789012:role/ncf"

TRAIN_PROGRAM = """
import json, os, pathlib, sys, time
sys.path.insert(0, {source!r})
from ncf.artifacts import manifest
root = pathlib.Path(os.environ["NCF_ML_ROOT"])
settings = json.loads((root / "input/config/hyperparameters.json").read_text())

def typed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text

for kind in ("dataset", "samples"):
    manifest.read(root / "input/data" / kind, kind)
print("fit=selection epoch=1 loss=0.5000", flush=True)
if settings["epochs"] == "13":
    (root / "output").mkdir(exist_ok=True)
    (root / "output/failure").write_text("users: there are none")
    sys.exit(1)
if settings["epochs"] == "999":
    time.sleep(60)
model = root / "model"
model.mkdir(exist_ok=True)
epoch = {{"epoch": 1, "loss": 0.5, "seconds": 1.0}}
history = {{
    "selection": [{{**epoch, "hr_at_10": 0.6, "ndcg_at_10": 0.3}}],
    "final": [epoch], "best_epoch": 1, "hyperparameters": settings, "samples_per_second": 10.0,
}}
(model / "history.json").write_text(json.dumps(history))
manifest.write(model, "model", {{"users": 3}}, {{name: typed(value) for name, value in settings.items()}}, {{}})
"""

SERVE_PROGRAM = """
import http.server, json, os, pathlib, sys
sys.path.insert(0, {source!r})
from ncf.artifacts.model_folder import ModelFolder
from ncf.serving.recommender import Recommender
model = ModelFolder.load(pathlib.Path(os.environ["NCF_ML_ROOT"]) / "model")
if model.history.get("broken"):
    sys.exit("this model does not load")
recommender = Recommender(model)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if model.history.get("errs"):
            self.send_response(500)
            self.end_headers()
            return
        self.answer({{"model_version": recommender.version,
                     "recommendations": recommender.recommend(body["users"], body["k"])}})

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["NCF_PORT"])), Handler).serve_forever()
"""


@contextmanager
def local_account(folder: Path, serve: Path | None = None) -> Iterator[LocalAws]:
    """A running account with a bucket; the environment leads all clients to it.

    Args:
        folder: of the account.
        serve: program of endpoints; None for a quick one that serves one model.
    """
    programs = {}
    for image, text in (("ncf-train", TRAIN_PROGRAM), ("ncf-deploy", SERVE_PROGRAM)):
        script = folder / f"{image}.py"
        script.write_text(text.format(source=str(Path(storage.__file__).parents[1])))
        programs[image] = [str(shared_python()), str(script)]
    programs |= {"ncf-deploy": [sys.executable, str(serve)]} if serve else {}
    with (
        LocalAws(folder / "aws", Processes(programs)) as account,
        patch.dict("os.environ", account.environment),
        patch.object(session, "_POLL_SECONDS", (0.05, 0.2)),
        patch.object(training_job, "_SECONDS_UNTIL_LOG_SETTLES", 0.05),
    ):
        storage._client.cache_clear()
        account.create_bucket(BUCKET)
        yield account
    storage._client.cache_clear()


def executor_input(stage: type[Stage], flags: Sequence[str], folder: Path, uris: Mapping[str, str]) -> list[str]:
    """The arguments with which KFP starts a pod, from those of a command line.

    Args:
        stage: whose pod it is.
        flags: ``--name value`` or ``--name=value``.
        folder: where the pod's output file is to lie.
        uris: of artifacts; their local copies are the paths in ``flags``.
    """
    pairs = [part for flag in flags for part in (flag.split("=", 1) if flag.startswith("--") else [flag])]
    given = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(pairs[::2], pairs[1::2])}
    sides: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
    files = {}
    for name, role in {**stage.inputs(), **stage.outputs()}.items():
        if role.kind == "output parameter":
            files[name] = {"outputFile": str(given.pop(name, folder / name))}
        elif path := given.pop(name, ""):
            artifact = {"name": name, "uri": uris.get(name, path), "customPath": path}
            sides["inputs" if role.kind == "input" else "outputs"][name] = {"artifacts": [artifact]}
    content = {
        "inputs": {
            "artifacts": sides["inputs"],
            "parameterValues": {name: _typed(stage, name, value) for name, value in given.items()},
        },
        "outputs": {
            "artifacts": sides["outputs"],
            "parameters": files,
            "outputFile": str(folder / "executor_output.json"),
        },
    }
    return ["--executor-input", json.dumps(content)]


def _typed(stage: type[Stage], name: str, value: str) -> Any:
    annotation = stage.model_fields[name].annotation
    return value if annotation is str or get_origin(annotation) is Literal else json.loads(value)
