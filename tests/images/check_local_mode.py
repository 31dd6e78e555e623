"""An outside check of ncf-train and ncf-deploy: AWS's own local mode trains with the one and hosts with the other.

Run by `make check-local-mode` with a Python that has the sagemaker SDK (3.27), which is no part of this project's
environment: ``check_local_mode.py FOLDER TAG``. FOLDER holds ``dataset`` and ``samples``. Needs `docker compose`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

os.environ |= {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAGEMAKER_VALIDATE_ROLE": "false",
}

from sagemaker.core.local.local_session import LocalSession
from sagemaker.train.configs import Compute, InputData
from sagemaker.train.model_trainer import Mode, ModelTrainer

ROLE = "arn:aws:iam::123456789012:role/local"
SETTINGS = {"model": "neumf", "factors": "8", "tower": "[16, 8]", "epochs": "2", "device": "cpu"}
CHANNELS = ("dataset", "samples")


def train_through_the_session(folder: Path, image: str, hosts: int) -> Path:
    """Train as LocalSession does, by the requests that boto3 takes; returns the model's archive."""
    output = folder / f"session-{hosts}"
    client = LocalSession().sagemaker_client
    client.create_training_job(
        TrainingJobName=f"ncf-local-{hosts}",
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        InputDataConfig=[
            {
                "ChannelName": channel,
                "DataSource": {
                    "FileDataSource": {
                        "FileDataDistributionType": "FullyReplicated",
                        "FileUri": f"file://{folder}/{channel}",
                    }
                },
            }
            for channel in CHANNELS
        ],
        OutputDataConfig={"S3OutputPath": f"file://{output}"},
        ResourceConfig={"InstanceType": "local", "InstanceCount": hosts},
        HyperParameters=SETTINGS,
        Environment={},
    )
    return output / "model.tar.gz"


def train_through_model_trainer(folder: Path, image: str) -> Path:
    """Train as a notebook does, with ModelTrainer's local mode; returns the model's archive."""
    root = folder / "model-trainer"
    root.mkdir()
    trainer = ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        training_image=image,
        role=ROLE,
        base_job_name="ncf",
        compute=Compute(instance_type="local_cpu", instance_count=1),
        hyperparameters=SETTINGS,
        local_container_root=str(root),
    )
    trainer.train(input_data_config=[InputData(channel_name=name, data_source=str(folder / name)) for name in CHANNELS])
    return root / "compressed_artifacts" / "model.tar.gz"


def host(folder: Path, image: str, archive: Path) -> None:
    """Host a model and ask it."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (user,) = json.loads((folder / "unpacked" / "golden.json").read_text())["requests"][0]["request"]["users"]
    session = LocalSession()
    client, runtime = session.sagemaker_client, session.sagemaker_runtime_client
    client.create_model("ncf-local", {"Image": image, "ModelDataUrl": f"file://{archive}", "Environment": {}})
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "ncf-local",
        "InitialInstanceCount": 1,
        "InstanceType": "local",
    }
    client.create_endpoint_config("ncf-local", [variant])
    client.create_endpoint("ncf-local", "ncf-local")
    try:
        body = json.dumps({"users": [user], "k": 5})
        answer = runtime.invoke_endpoint(body.encode(), "ncf-local", ContentType="application/json")
        recommended = json.loads(answer["Body"].read())["recommendations"][0]
    finally:
        client.delete_endpoint("ncf-local")
    assert recommended["source"] == "model", recommended
    assert len(recommended["items"]) == 5, recommended


def main() -> None:
    folder, tag = Path(sys.argv[1]).resolve(), sys.argv[2]
    for name in ("session-1", "session-2", "model-trainer", "unpacked"):
        shutil.rmtree(folder / name, ignore_errors=True)
    archive = train_through_the_session(folder, f"ncf-train:{tag}", hosts=1)
    train_through_the_session(folder, f"ncf-train:{tag}", hosts=2)
    train_through_model_trainer(folder, f"ncf-train:{tag}")
    host(folder, f"ncf-deploy:{tag}", archive)
    print("AWS's local mode has trained on one host and on two, by session and by ModelTrainer, and hosted the model")


if __name__ == "__main__":
    main()
