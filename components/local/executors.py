"""Executors of the pods and of SageMaker's containers on this machine: processes, or Docker's engine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from components.factory import image
from components.local.aws import Processes
from components.local.aws.instances import Instances
from components.local.docker_runner import memory_limits, pods_as_containers, use_tag, with_tag
from components.local.process_runner import Listener, pods_as_processes
from images.build import current_tag
from ncf.errors import InputError

_IMAGES = Path(__file__).parents[2] / "images"
_PROGRAMS = {"train": "train", "deploy": "serve"}
"""Folder of an image -> its program for SageMaker."""
_NO_IMAGE = "processes-of-this-machine"
"""In place of the registry."""


@dataclass(frozen=True)
class Executor:
    """Executor of a run.

    Attributes:
        instances: instances of the stand-in for SageMaker.
        pods: context in which KFP runs the pods, made of the folder for artifacts, variables for every pod, and a
            listener.
        arguments: of the pipeline, for this executor.
    """

    instances: Instances
    pods: Callable[[Path, Mapping[str, str], Listener], AbstractContextManager[None]]
    arguments: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def in_processes() -> Iterator[Executor]:
    """Executor with processes of this machine. Reports name them, with the commit, in place of an image."""
    programs = {f"ncf-{folder}": [str(_IMAGES / folder / program)] for folder, program in _PROGRAMS.items()}
    arguments = {f"{folder}_image": f"{_NO_IMAGE}/ncf-{folder}:{current_tag()}" for folder in _PROGRAMS}
    yield Executor(Processes(programs), pods_as_processes, arguments)


@contextmanager
def in_containers(package: Path, tag: str, readable: Sequence[Path]) -> Iterator[Executor]:
    """Executor with containers of the images of ``make images``. All containers are removed at the end.

    Args:
        package: the compiled pipeline. The tag of its images is replaced.
        tag: of the images.
        readable: files and folders of this machine that pods may read.

    Raises:
        InputError: if no Docker engine runs on this machine, or an image is missing.
    """
    from components.local.aws.containers import Containers
    from components.local.aws.engine import Engine

    use_tag(package, tag)
    memory = memory_limits(package)
    arguments = {f"{folder}_image": with_tag(image(folder), tag) for folder in _PROGRAMS}
    engine = Engine()
    try:
        for name in (*memory, *arguments.values()):
            engine.find(name)
        network = engine.open_network("pods")
        gateway = engine.gateway(network)
        _check_address(gateway)
        instances = Containers(engine, gateway)
        yield Executor(
            instances, partial(pods_as_containers, engine, network, readable=readable, memory=memory), arguments
        )
    finally:
        engine.close()


def _check_address(gateway: str) -> None:
    """
    Raises:
        InputError: if no server can listen at the address of this machine in the containers' network.
    """
    try:
        socket.create_server((gateway, 0)).close()
    except OSError as error:
        raise InputError(
            f"containers call S3 and SageMaker at {gateway}, the gateway of their network, which is not this machine "
            f"({error.strerror}); expected an engine that runs on it, not in a virtual machine as Docker Desktop's"
        ) from None
