"""Run guoyang9/NCF's own ``main.py``, from a checkout, on the CPU, and say how long each epoch took.

``python peer_program.py CHECKOUT DATA [main.py's options]``; DATA is a folder with the NCF release's ml-1m files. Only
what ties it to its author's machine is replaced: paths, CUDA, and TensorBoard's writer, which it imports and does not
use.
"""

import json
import os
import runpy
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch

checkout, data, *options = sys.argv[1:]
sys.path.insert(0, checkout)
writer = types.ModuleType("tensorboardX")
writer.SummaryWriter = object  # type: ignore[attr-defined]
sys.modules["tensorboardX"] = writer
torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
torch.nn.Module.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
torch.set_num_threads(len(os.sched_getaffinity(0)))

import config  # type: ignore[import-not-found]  # noqa: E402 (the checkout's)
import data_utils  # type: ignore[import-not-found]  # noqa: E402
import evaluate  # type: ignore[import-not-found]  # noqa: E402

for name in ("train_rating", "test_rating", "test_negative"):
    setattr(config, name, str(Path(data) / f"ml-1m.{name.replace('_', '.')}"))
config.model_path = os.environ.get("PEER_MODELS", "models") + "/"

started = 0.0
sample, measure = data_utils.NCFData.ng_sample, evaluate.metrics


def ng_sample(self: Any) -> None:
    global started
    started = time.monotonic()
    sample(self)


def metrics(*arguments: Any) -> Any:
    trained = time.monotonic() - started
    hr, ndcg = measure(*arguments)
    evaluated = time.monotonic() - started - trained
    print(json.dumps({"seconds": trained, "evaluation": evaluated, "hr": float(hr), "ndcg": float(ndcg)}), flush=True)
    return hr, ndcg


data_utils.NCFData.ng_sample, evaluate.metrics = ng_sample, metrics
sys.argv = ["main.py", *options]
runpy.run_path(str(Path(checkout) / "main.py"), run_name="__main__")
