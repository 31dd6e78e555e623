"""Runs the notebook script of ncf/sagemaker/README.md as it is written, with AWS's SDK against the stand-in.

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

_BUCKET = "my-bucket"


def main() -> None:
    data, python = Path(sys.argv[1]), sys.argv[2]
    readme = (ROOT / "ncf" / "sagemaker" / "README.md").read_text()
    script = re.search(r"```python\n(from sagemaker\.train.*?)```", readme, re.DOTALL)
    assert script is not None
    programs = {"ncf-train": [str(ROOT / "images" / "train" / "train")]}
    with tempfile.TemporaryDirectory() as folder, LocalAws(Path(folder), Processes(programs)) as aws:
        os.environ |= {**aws.environment, "SAGEMAKER_VALIDATE_ROLE": "false"}
        s3 = boto3.client("s3")
        aws.create_bucket(_BUCKET)
        for channel in ("dataset", "samples"):
            for path in (data / channel).iterdir():
                s3.upload_file(str(path), _BUCKET, f"run/{channel}/{path.name}")
        subprocess.run([python, "-c", script[1]], check=True)
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=_BUCKET, Prefix="ncf/")["Contents"]]
        model = Path(folder) / "model"
        model.mkdir()
        for key in keys:
            assert re.fullmatch(r"ncf/ncf-\d+/output/(model|output)/.*", key), key
            if "/output/model/" in key:
                s3.download_file(_BUCKET, key, str(model / key.rpartition("/")[2]))
        ModelFolder.load(model)
    print("the notebook script of ncf/sagemaker/README.md has trained a model")


if __name__ == "__main__":
    main()
