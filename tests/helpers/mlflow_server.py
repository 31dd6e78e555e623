"""An MLflow tracking server: MLflow's own file store behind the requests of its REST API that are used here.

``mlflow server`` needs packages that the client does not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.protobuf.json_format import MessageToDict, ParseDict

_API, _ARTIFACTS = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts/"


class MlflowServer:
    """A server.

    Attributes:
        store: MLflow's file store.
        uri: of the server.
        artifacts: path -> content that was uploaded.
        requests: paths of the API's requests, in their order.
        refuse: whether the request of a path is refused.
    """

    def __init__(self, folder: Path, keeps_artifacts: bool) -> None:
        from mlflow.store.tracking.file_store import FileStore

        root = "mlflow-artifacts:/" if keeps_artifacts else f"file://{folder}/artifacts"
        self.store = FileStore(str(folder / "store"), root)
        self.artifacts: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse: Callable[[str], bool] = "".__eq__
        self.uri = ""

    def answer(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        """Answer of the API."""
        from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
        from mlflow.protos import service_pb2 as service

        store = self.store
        if path == "experiments/get-by-name":
            found = store.get_experiment_by_name(values["experiment_name"])
            if found is None:
                from mlflow.exceptions import MlflowException
                from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

                raise MlflowException("no such experiment", RESOURCE_DOES_NOT_EXIST)
            return {"experiment": MessageToDict(found.to_proto(), preserving_proto_field_name=True)}
        if path == "experiments/create":
            return {"experiment_id": store.create_experiment(values["name"])}
        if path == "runs/search":
            runs = store.search_runs(
                values["experiment_ids"], values["filter"], ViewType.ACTIVE_ONLY, values["max_results"]
            )
            return {"runs": [MessageToDict(run.to_proto(), preserving_proto_field_name=True) for run in runs]}
        if path == "runs/create":
            asked = ParseDict(values, service.CreateRun())
            tags = [RunTag.from_proto(tag) for tag in asked.tags]
            run = store.create_run(asked.experiment_id, asked.user_id, asked.start_time, tags, asked.run_name)
            return {"run": MessageToDict(run.to_proto(), preserving_proto_field_name=True)}
        if path == "runs/get":
            run = store.get_run(values["run_id"])
            return {"run": MessageToDict(run.to_proto(), preserving_proto_field_name=True)}
        if path == "runs/set-tag":
            store.set_tag(values["run_id"], RunTag(values["key"], values["value"]))
            return {}
        if path == "runs/log-batch":
            batch = ParseDict(values, service.LogBatch())
            metrics, params = map(Metric.from_proto, batch.metrics), map(Param.from_proto, batch.params)
            store.log_batch(batch.run_id, list(metrics), list(params), [])
            return {}
        if path == "runs/update":
            status = RunStatus.from_string(values["status"])
            info = store.update_run_info(values["run_id"], status, int(values["end_time"]), None)
            return {"run_info": MessageToDict(info.to_proto(), preserving_proto_field_name=True)}
        raise AssertionError(f"not a request of this server: {path}")

    def runs(self, experiment: str = "ncf") -> list[Any]:
        """Runs of an experiment."""
        from mlflow.entities import ViewType

        found = self.store.get_experiment_by_name(experiment)
        return list(self.store.search_runs([found.experiment_id], "", ViewType.ALL)) if found else []


@contextmanager
def mlflow_server(folder: Path, keeps_artifacts: bool = True) -> Iterator[MlflowServer]:
    """A server on this machine.

    Args:
        folder: of its store.
        keeps_artifacts: whether clients upload artifacts to it. Otherwise they would write to its disk.
    """
    server = MlflowServer(folder, keeps_artifacts)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            from mlflow.exceptions import MlflowException

            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = parts.path.removeprefix(_API)
            server.requests.append(path)
            status, content = 200, {}
            if server.refuse(path):
                status, content = 403, {"error_code": "PERMISSION_DENIED", "message": "you may not do this"}
            elif parts.path.startswith(_ARTIFACTS):
                server.artifacts[parts.path.removeprefix(_ARTIFACTS)] = body
            else:
                values = json.loads(body) if body else {key: found[0] for key, found in parse_qs(parts.query).items()}
                try:
                    content = server.answer(path, values)
                except MlflowException as error:
                    status, content = error.get_http_status_code(), json.loads(error.serialize_as_json())
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.uri = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
