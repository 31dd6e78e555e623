"""KFP's DockerRunner for the pods of a run, without its traps.

What is replaced here, for the time of a ``with`` block, is the function of kfp that runs one container: a private
name, which is why kfp is pinned exactly. KFP's own takes a container that it no longer finds for a success, puts an
image's ENTRYPOINT before the command, which Kubernetes replaces, and lets no signal through.
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
    """Within the block, ``kfp.local`` runs container components in containers.

    They are as a careful cluster has them: not root, a read-only root file system with a scratch ``/tmp``, no
    privileges, and the command in place of the image's ENTRYPOINT.

    Args:
        engine: Docker's.
        network: that the pods are in.
        pipeline_root: folder that receives the artifacts; mounted at the same path.
        environment: set in every pod.
        listener: is told of each task.
        readable: files and folders of this machine that pods may read, at the same path.
        memory: image -> limit of its pods, as ``8G``.
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
    """Have the pods of a compiled pipeline run the images of another tag."""
    content = yaml.safe_load(package.read_text())
    for container in _containers(content):
        container["image"] = with_tag(container["image"], tag)
    package.write_text(yaml.safe_dump(content, sort_keys=True, width=10_000))


def with_tag(image: str, tag: str) -> str:
    """An image's name with another tag."""
    registry, slash, name = image.rpartition("/")
    return f"{registry}{slash}{name.partition(':')[0]}:{tag}"


def memory_limits(package: Path) -> dict[str, str]:
    """The memory that a compiled pipeline gives to the pods of each image: the largest where several have it."""
    limits: dict[str, float] = {}
    for container in _containers(yaml.safe_load(package.read_text())):
        gigabytes = container.get("resources", {}).get("memoryLimit", 0.0)
        limits[container["image"]] = max(gigabytes, limits.get(container["image"], 0.0))
    return {image: f"{gigabytes * 1e9:.0f}b" for image, gigabytes in limits.items() if gigabytes}


def _containers(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    executors = content["deploymentSpec"]["executors"].values()
    return [entry["container"] for entry in executors if "container" in entry]
