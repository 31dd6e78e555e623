"""An API of KFP's form, behind a gate that asks for what a cluster's gateway asks for."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROLE = "arn:aws:iam::123456789012:role/x"
LOGIN_PAGE = b"<!DOCTYPE html><html><title>Log in to Your Account</title></html>"
Answer = tuple[int, Any]
Gate = Callable[[Mapping[str, str], str], "tuple[int, dict[str, str], bytes] | None"]
"""Headers and path of a request to an answer instead of the API, or None to let it through."""


@dataclass
class FakeKfp:
    """What the API holds.

    Attributes:
        multi_user: what healthz says; None: nothing.
        version: of KFP, whose forms differ.
        run: a run, by how often it was looked at.
        runs: the runs that were created, by ID.
        refuses: an answer to each request to create a run, in its place; None: none.
        asked: method and path of each request that reached the API, without the query.
        sent: query and body of each request, beside them.
        headers: of each request, those that the gate stopped too.
    """

    multi_user: bool | None = False
    version: tuple[int, int] = (2, 17)
    run: Callable[[int], dict[str, Any]] = lambda _: {"state": "SUCCEEDED"}
    asked: list[str] = field(default_factory=list)
    sent: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: Answer | None = None
    looks: int = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Status and JSON of a request."""
        self.asked.append(f"{method} {path}")
        self.sent.append((query, body))
        route = path.removeprefix("/apis/v2beta1")
        if route == "/healthz":
            return 200, {} if self.multi_user is None else {"multi_user": self.multi_user}
        if route == "/experiments":
            return self._collection(method, self.experiments, "experiment", query, body)
        if route == "/runs":
            return self._runs(method, query, body)
        if route.endswith(":terminate"):
            self.runs[route.removeprefix("/runs/").removesuffix(":terminate")]["state"] = "CANCELING"
            return 200, {}
        if re.fullmatch(r"/runs/run-\d+", route):
            self.looks += 1
            return 200, {"run_id": route.rpartition("/")[2], **self.run(self.looks)}
        if route.startswith("/pipelines"):
            return self._pipelines(method, route, query, body)
        if route.startswith("/recurringruns"):
            return self._recurring(method, route, query, body)
        return 404, {"code": 5, "message": "Not Found"}

    def _runs(self, method: str, query: dict[str, str], body: Any) -> Answer:
        if method == "POST" and self.refuses:
            return self.refuses
        status, answer = self._collection(method, self.runs, "run", query, body)
        if method == "POST":
            answer |= {"state": "PENDING", "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        else:
            of_experiment = query.get("experiment_id")
            answer = {"runs": [run for run in answer.get("runs", []) if run["experiment_id"] == of_experiment]}
        return status, answer

    def body(self, request: str) -> Any:
        """What the last request of that method and end of path sent."""
        method, _, end = request.partition(" ")
        return [sent for asked, (_, sent) in self._requests() if asked == f"{method} /apis/v2beta1{end}"][-1]

    def queries(self, name: str) -> list[str | None]:
        """A query's parameter in each request but of healthz."""
        return [query.get(name) for asked, (query, _) in self._requests() if not asked.endswith("/healthz")]

    def _requests(self) -> Iterator[tuple[str, tuple[dict[str, str], Any]]]:
        return zip(self.asked, self.sent, strict=True)

    def _collection(
        self, method: str, kept: dict[str, dict[str, Any]], kind: str, query: dict[str, str], body: Any
    ) -> Answer:
        if method == "POST":
            made = {**body, f"{kind}_id": f"{kind}-{len(kept) + 1}"}
            kept[made[f"{kind}_id"]] = made
            return 200, made
        wanted = [part["stringValue"] for part in json.loads(query.get("filter", "{}")).get("predicates", [])]
        found = [entry for entry in kept.values() if not wanted or entry["display_name"] in wanted]
        return 200, {f"{kind}s": found} if found else {}

    def _pipelines(self, method: str, route: str, query: dict[str, str], body: Any) -> Answer:
        if route == "/pipelines" and method == "POST" and self.version < (2, 14) and "name" in body:
            return 400, {"code": 3, "message": 'proto: (line 1:12): unknown field "name"'}
        if route == "/pipelines" and method == "POST" and self.version >= (2, 14) and "name" not in body:
            return 400, {"code": 3, "message": "Failed to create a pipeline: Invalid input error: name is required"}
        if route == "/pipelines":
            return self._collection(method, self.pipelines, "pipeline", query, body)
        if route == "/pipelines/upload_version":
            made = {"display_name": query["name"], "pipeline_id": query["pipelineid"]}
            made["pipeline_version_id"] = f"version-{len(self.versions) + 1}"
            self.versions[made["pipeline_version_id"]] = made
            return 200, made
        if re.fullmatch(r"/pipelines/[\w-]+/versions", route):
            return 200, self._collection("GET", self.versions, "pipeline_version", query, None)[1]
        return 404, {}

    def _recurring(self, method: str, route: str, query: dict[str, str], body: Any) -> Answer:
        if route == "/recurringruns":
            status, answer = self._collection(method, self.recurring, "recurring_run", query, body)
            if method == "POST":
                answer["status"] = "ENABLED"
            else:
                answer = {"recurringRuns": answer.get("recurring_runs", [])}
            return status, answer
        name, _, verb = route.removeprefix("/recurringruns/").partition(":")
        if name not in self.recurring:
            return 404, {"code": 5, "message": f"RecurringRun {name} not found"}
        if method == "DELETE":
            del self.recurring[name]
            return 200, {}
        if verb:
            self.recurring[name]["status"] = f"{verb.upper()}D"
            return 200, {}
        return 200, self.recurring[name]


@contextmanager
def serving(kfp: FakeKfp, gate: Gate | None = None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The API's URL while it answers, behind a gate where there is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_DELETE(self) -> None:
            self._handle()

        def _handle(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kfp.headers.append(dict(self.headers))
            if gate and (instead := gate(self.headers, self.path)):
                self._send(*instead)
                return
            url = urlsplit(self.path)
            is_json = sent and "json" in (self.headers.get("Content-Type") or "")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            status, answer = kfp.answer(self.command, url.path, query, json.loads(sent) if is_json else sent)
            self._send(status, {"Content-Type": "application/json"}, json.dumps(answer).encode())

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
