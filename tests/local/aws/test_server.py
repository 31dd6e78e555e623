"""One stand-in at a time, and nothing stays behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_jobs import processes

from components.local.aws import LocalAws, Processes
from components.local.aws.processes import wait_until

PROGRAM = """
import json, signal, sys, time
from pathlib import Path
from components.local.aws import Processes
from local_jobs import LocalAws, client, log_lines_or_none, put_model, request, settle, wait
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
programs, folder, mode, model = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
with LocalAws(folder, Processes(programs)) as aws:
    aws.create_bucket("bucket")
    client(aws, "s3").put_object(Bucket="bucket", Key="data/a", Body=b"1")
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_training_job(**request("left", mode))
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, model, model))
    if model != "sick":
        settle(sagemaker, "e")
    wait(lambda: {"n": str(len(log_lines_or_none(aws, "left/")))}, "n", ("0",))
    print("ready", flush=True)
    if sys.argv[5:]:
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("mode", "model", "number"),
    [
        pytest.param("wait", "one", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("ignore signals", "sick", 0, marks=pytest.mark.slow),
        ("ignore signals", "one", signal.SIGKILL),
        pytest.param("wait", "sick", signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_no_process_is_left(programs: dict[str, list[str]], tmp_path: Path, mode: str, model: str, number: int) -> None:
    """After an orderly end, Ctrl-C, SIGKILL, and a closed terminal that nothing handles."""
    arguments = [json.dumps(programs), str(tmp_path), mode, model, *(["wait"] if number else [])]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        assert processes(f"{tmp_path}/")
        start = time.monotonic()
        if number:
            process.send_signal(number)
        process.communicate(timeout=30)
        assert time.monotonic() - start < 15, "neither the grace of a job nor the start of an endpoint is waited for"
        assert wait_until(lambda: not processes(f"{tmp_path}/"), 5), "the watcher has ended what was left"
    finally:
        process.kill()
        for left in processes(f"{tmp_path}/"):
            os.kill(left, signal.SIGKILL)


def test_there_is_one_at_a_time(programs: dict[str, list[str]], tmp_path: Path, aws: LocalAws) -> None:
    with pytest.raises(RuntimeError, match="another LocalAws is active"):
        LocalAws(tmp_path, Processes(programs))
    assert aws.environment["AWS_ENDPOINT_URL"] == aws.endpoint_url
