"""An image of another project: a line fitted to numbers, by gradient descent. It knows nothing of this project.

Its command runs in place of a container runtime: ``python foreign_image.py train`` or ``serve``, or the entrypoint and
the arguments of a processing job.
"""

import json
import os
import pathlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(os.environ["NCF_ML_ROOT"])  # /opt/ml in a container


def prepare(share: str) -> None:
    """Split pairs ``x,y`` into two files, the part of this host."""
    config = json.loads((ROOT / "config/resourceconfig.json").read_text())
    host = config["current_host"]
    for path in sorted((ROOT / "processing/input/data").rglob("*.csv")):
        rows = path.read_text().split()
        count = int(len(rows) * float(share))
        for name, part in (("train", rows[:count]), ("validation", rows[count:])):
            target = ROOT / "processing/output" / name / f"{path.stem}-{host}.csv"
            target.write_text("\n".join(part) + "\n")
        print(f"{host} of {len(config['hosts'])}: {path.name}: {len(rows)} rows", flush=True)


def prepare_slowly(share: str) -> None:
    time.sleep(60)
    prepare(share)


def pairs(channel: str) -> list[tuple[float, float]]:
    files = sorted((ROOT / "input/data" / channel).rglob("*.csv"))
    return [tuple(map(float, row.split(","))) for path in files for row in path.read_text().split()]


def train() -> None:
    settings = json.loads((ROOT / "input/config/hyperparameters.json").read_text())
    rate, epochs = float(settings["rate"]), int(settings["epochs"])
    slope = offset = 0.0
    data, held_out = pairs("train"), pairs("validation")
    if settings.get("fail") == "true":
        (ROOT / "output/failure").write_text("the rate is no good")
        sys.exit(1)
    for epoch in range(1, epochs + 1):
        for x, y in data:
            error = slope * x + offset - y
            slope, offset = slope - rate * error * x, offset - rate * error
        loss = sum((slope * x + offset - y) ** 2 for x, y in held_out) / len(held_out)
        print(f"epoch={epoch} validation_loss={min(loss, 1e9):.6f};", flush=True)
        time.sleep(float(settings.get("pause", "0")))
    (ROOT / "model/line.json").write_text(json.dumps({"slope": slope, "offset": offset}))


def serve() -> None:
    line = json.loads((ROOT / "model/line.json").read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            rows = self.rfile.read(int(self.headers["Content-Length"])).decode().split()
            values = [f"{line['slope'] * float(row.split(',')[0]) + line['offset']:.3f}" for row in rows]
            self.answer(200, "\n".join(values).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["NCF_PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {each.__name__: each for each in (train, serve, prepare, prepare_slowly)}[command](*arguments)
