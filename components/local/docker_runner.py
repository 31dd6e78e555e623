"""Runner of container components in containers, based on KFP's DockerRunner.

The function of kfp that runs one container is replaced for the time of a ``with`` block. It is a private name of kfp,
so kfp is pinned exactly. KFP's own function has three faults: a container that disappears counts as a success, the
image's ENTRYPOINT stays in front of the command, unlike in Kubernetes, and signals do not reach the container.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kfp import local
from kfp.local import docker_task_handler

from components.local.aws.engine import Engine, bind, own_user
from components.local.process_runner import Listener, task_of, workspace
from ncf.errors import InputError, RemoteError

_SECONDS_TO_LEAVE = 10.0
_INPUT_ERROR = 2


@contextmanager
def pods_as_containers(
    engine: Engine,
    network: str,
    pipeline_root: Path,
    environment: Mapping[str, str],
    listener: Listener,
    readable: Sequence[Path] = (),
    memory: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """``kfp.local`` with containers as pods, for the time of the block.

    The containers have no root user, no privileges, a read-only root file system with a temporary ``/tmp``, and the
    command in place of the image's ENTRYPOINT.

    Args:
        engine: Docker's engine.
        network: of the pods.
        pipeline_root: folder that receives the artifacts; mounted at the same path.
        environment: variables of every pod.
        listener: receives the events of each task.
        readable: files and folders of this machine that are mounted read-only, at the same path.
        memory: image -> limit of its pods, such as ``8000000000b``.
    """
    pipeline_root.mkdir(parents=True, exist_ok=True)
    if own_user() is None:
        pipeline_root.chmod(0o777)  # the images' user is not the one whose folder this is

    def run_docker_container(client: Any, image: str, command: list[str], volumes: Any, **options: Any) -> int:  # noqa: ARG001
        task, executor_input = task_of(command)
        listener.started(task)
        start = time.monotonic()
        for path in readable:
            volumes = {**volumes, **bind(str(path), str(path), read_only=True)}
        container = None
        try:
            container = engine.start(
                engine.find(image),
                [],
                lambda line: task.printed(line, listener),
                network=network,
                entrypoint=command,
                volumes=volumes,
                mem_limit=(memory or {}).get(image),
                **options,
            )
            task.ended(container.wait())
            if task.exit_code and container.killed_for_memory:
                limit = (memory or {}).get(image, "the machine's")
                task.last_line = f"the pod was killed because it ran out of memory; its limit is {limit}"
        except (InputError, RemoteError) as error:
            task.exit_code = _INPUT_ERROR if isinstance(error, InputError) else 1
            task.last_line = str(error)
        finally:
            if container is not None and container.running:
                container.signal("SIGTERM")
                if container.wait(_SECONDS_TO_LEAVE) is None:
                    container.signal("SIGKILL")
            task.seconds = time.monotonic() - start
        if task.exit_code == 0:
            task.collect(executor_input)
        listener.finished(task)
        return 0 if task.exit_code == 0 else 1

    original = docker_task_handler.run_docker_container
    docker_task_handler.run_docker_container = run_docker_container
    try:
        runner = local.DockerRunner(
            environment=dict(environment),
            user=own_user(),
            read_only=True,
            tmpfs={"/tmp": ""},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        with workspace() as folder:
            local.init(runner, pipeline_root=str(pipeline_root), workspace_root=folder, raise_on_error=True)
            yield
    finally:
        docker_task_handler.run_docker_container = original


def use_tag(package: Path, tag: str) -> None:
    """Set the tag of all images of a compiled pipeline."""
    content = yaml.safe_load(package.read_text())
    for container in _containers(content):
        container["image"] = with_tag(container["image"], tag)
    package.write_text(yaml.safe_dump(content, sort_keys=True, width=10_000))


def with_tag(image: str, tag: str) -> str:
    """Name of an image with another tag."""
    registry, slash, name = image.rpartition("/")
    return f"{registry}{slash}{name.partition(':')[0]}:{tag}"


def memory_limits(package: Path) -> dict[str, str]:
    """Memory limit of each image in a compiled pipeline: the largest of its pods'."""
    limits: dict[str, float] = {}
    for container in _containers(yaml.safe_load(package.read_text())):
        gigabytes = container.get("resources", {}).get("memoryLimit", 0.0)
        limits[container["image"]] = max(gigabytes, limits.get(container["image"], 0.0))
    return {image: f"{gigabytes * 1e9:.0f}b" for image, gigabytes in limits.items() if gigabytes}


def _containers(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    executors = content["deploymentSpec"]["executors"].values()
    return [entry["container"] for entry in executors if "container" in entry]
