"""The submission, by KFP's own client against an API that answers as KFP's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

from tests.kind.conftest import ROOT

PACKAGE = str(ROOT / "pipeline.yaml")


class Api(ThreadingHTTPServer):
    """Experiments and runs; a run is in each of ``states`` for one look at it."""

    def __init__(self, states: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.states = states
        self.created: dict[str, Any] = {}


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        if self.path.startswith("/apis/v2beta1/runs/"):
            states = self.server.states
            state = states.pop(0) if len(states) > 1 else states[0]
            self._send({"run_id": "r-1", "state": state})
        elif self.path.startswith("/apis/v2beta1/experiments"):
            self._send({"experiments": [{"experiment_id": "e-1", "display_name": "kind"}]})
        else:
            self._send({"multi_user": False})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/apis/v2beta1/runs"):
            self.server.created = body
            self._send({"run_id": "r-1", "display_name": body["display_name"]})
        else:
            self._send({"experiment_id": "e-1", "display_name": "kind"})

    def _send(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Requests are not shown."""


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api(["PENDING", "RUNNING", "SUCCEEDED"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(submit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PAUSE", 0)


def host(api: Api) -> str:
    return f"http://127.0.0.1:{api.server_port}"


def test_parameters_keep_their_types(submit: ModuleType, api: Api) -> None:
    submit.main(
        [host(api), PACKAGE, "data_uri=s3://b/d.csv", "gate_min_hr_at_10=1", "gate_not_worse_than_popularity=false"]
    )
    sent = api.created["runtime_config"]["parameters"]
    assert sent == {"data_uri": "s3://b/d.csv", "gate_min_hr_at_10": 1, "gate_not_worse_than_popularity": False}
    assert sent["gate_not_worse_than_popularity"] is False
    assert api.created["pipeline_spec"]["pipelineInfo"]["name"] == "ncf"


def test_a_run_that_has_failed_fails_the_command(submit: ModuleType, api: Api) -> None:
    api.states[:] = ["RUNNING", "FAILED"]
    with pytest.raises(SystemExit, match="ended as FAILED; expected SUCCEEDED"):
        submit.main([host(api), PACKAGE])
