"""The ``/opt/ml`` tree of a training host: configuration, input channels and checkpoints.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.local.aws.services import Services

_FOLDERS = ("input/config", "input/data", "model", "output/data", "checkpoints")
_GROUP = "homogeneousCluster"


def write_tree(
    root: Path, host: str, hosts: Sequence[str], request: Mapping[str, Any], interface: str, services: Services
) -> None:
    """Write the tree of a host, and download its input channels and the checkpoints of an earlier job.

    Args:
        root: folder of the tree.
        host: name of the host.
        hosts: names of all hosts of the job.
        request: request of CreateTrainingJob.
        interface: network interface between the hosts.
        services: client of S3.

    Raises:
        ApiError: if a channel has no objects.
    """
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    channels = request.get("InputDataConfig", [])
    configuration = {
        "hyperparameters": request.get("HyperParameters", {}),
        "resourceconfig": _resources(host, hosts, request["ResourceConfig"]["InstanceType"], interface),
        "inputdataconfig": {
            channel["ChannelName"]: _channel(channel, request["AlgorithmSpecification"]) for channel in channels
        },
    }
    for name, content in configuration.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content, indent=2))
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        part = (hosts.index(host), len(hosts)) if sharded else (0, 1)
        services.download(source["S3Uri"], root / "input" / "data" / channel["ChannelName"], part)
    checkpoints = request.get("CheckpointConfig", {}).get("S3Uri")
    if checkpoints and services.keys(checkpoints := f"{checkpoints.rstrip('/')}/"):
        services.download(checkpoints, root / "checkpoints")


def _resources(host: str, hosts: Sequence[str], instance_type: str, interface: str) -> dict[str, Any]:
    """Content of ``resourceconfig.json``."""
    return {
        "current_host": host,
        "current_instance_type": instance_type,
        "current_group_name": _GROUP,
        "hosts": list(hosts),
        "instance_groups": [
            {"instance_group_name": _GROUP, "instance_type": instance_type, "hosts": list(hosts)},
        ],
        "network_interface_name": interface,
    }


def _channel(channel: Mapping[str, Any], algorithm: Mapping[str, Any]) -> dict[str, str]:
    """Entry of a channel in ``inputdataconfig.json``."""
    source = channel["DataSource"]["S3DataSource"]
    content = {"ContentType": channel["ContentType"]} if "ContentType" in channel else {}
    return {
        **content,
        "TrainingInputMode": channel.get("InputMode", algorithm["TrainingInputMode"]),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
