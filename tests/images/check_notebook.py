"""Runs the README's notebook script, word for word, with AWS's SDK against the stand-in.

Part of `make check-local-mode`: ``python -m tests.images.check_notebook FOLDER PYTHON``. FOLDER holds ``dataset`` and
``samples``, PYTHON has the sagemaker SDK.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

from components.local.aws import LocalAws, Processes
from images.build import ROOT
from ncf.artifacts.model_folder import ModelFolder


def main() -> None:
    data, python = Path(sys.argv[1]), sys.argv[2]
    script = re.search(r"```python\n(from sagemaker\.train.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert script is not None
    programs = {"ncf-train": [str(ROOT / "images" / "train" / "train")]}
    with tempfile.TemporaryDirectory() as folder, LocalAws(Path(folder), Processes(programs)) as aws:
        os.environ |= {**aws.environment, "SAGEMAKER_VALIDATE_ROLE": "false"}
        s3 = boto3.client("s3")
        aws.create_bucket("bucket")
        for channel in ("dataset", "samples"):
            for path in (data / channel).iterdir():
                s3.upload_file(str(path), "bucket", f"run/{channel}/{path.name}")
        subprocess.run([python, "-c", script[1]], check=True)
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix="ncf/")["Contents"]]
        model = Path(folder) / "model"
        model.mkdir()
        for key in keys:
            assert re.fullmatch(r"ncf/ncf-\d+/output/(model|output)/.*", key), key
            if "/output/model/" in key:
                s3.download_file("bucket", key, str(model / key.rpartition("/")[2]))
        ModelFolder.load(model)
    print("the README's notebook script has trained a model")


if __name__ == "__main__":
    main()
