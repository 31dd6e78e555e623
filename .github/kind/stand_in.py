"""The stand-in for AWS as a pod: S3 with generated interactions in a bucket, SageMaker with the programs of the images.

It listens on all addresses of the pod. It accepts only requests signed with the access key of its own environment
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). It writes FOLDER/ready after the upload of the data.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

import boto3

from components.local.aws import LocalAws, Processes
from components.local.aws.keys import AccessKey
from ncf.data import synthetic

USERS, ITEMS, INTERACTIONS = 300, 200, 9_000
EVERYWHERE = "0.0.0.0"
SERVICE = "ncf-aws.kubeflow.svc.cluster.local"
"""Host name of the Kubernetes service of ``stand-in.yaml``."""


def put_data(aws: LocalAws, bucket: str, folder: Path) -> None:
    """Generate interactions and titles, and upload them to a new bucket as interactions.csv and items.csv."""
    aws.create_bucket(bucket)
    synthetic.write(folder, USERS, ITEMS, INTERACTIONS)
    own = aws.environment
    s3 = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=own["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=own["AWS_SECRET_ACCESS_KEY"],
    )
    for path in sorted(folder.glob("*.csv")):
        s3.upload_file(str(path), bucket, path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="folder for all output")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--train", default="train", help="command for the image ncf-train (default: %(default)s)")
    parser.add_argument("--serve", default="serve", help="command for the image ncf-deploy (default: %(default)s)")
    options = parser.parse_args()
    try:
        key = AccessKey(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    except KeyError as missing:
        sys.exit(f"the environment has no {missing}; expected the access key of the clients")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    programs = {"ncf-train": shlex.split(options.train), "ncf-deploy": shlex.split(options.serve)}
    (options.folder / "data").mkdir(parents=True, exist_ok=True)
    own = {"address": EVERYWHERE, "port": options.port, "key": key, "hosts": [SERVICE]}
    with LocalAws(options.folder / "aws", Processes(programs), **own) as aws:
        put_data(aws, options.bucket, options.folder / "data")
        (options.folder / "ready").touch()
        print(f"S3 and SageMaker at port {options.port}; s3://{options.bucket}/interactions.csv", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
