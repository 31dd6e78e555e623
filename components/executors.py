"""What runs the pods and SageMaker's containers of a run on this machine: processes, or Docker's engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from components.docker_runner import memory_limits, pods_as_containers, use_tag, with_tag
from components.factory import image
from components.local_runner import Listener, pods_as_processes
from ncf.localaws import Processes
from ncf.localaws.instances import Instances

_IMAGES = Path(__file__).parents[1] / "images"
_PROGRAMS = {"train": "train", "deploy": "serve"}
"""Image folder -> the program in it that SageMaker starts."""


@dataclass(frozen=True)
class Executor:
    """What a run is executed by.

    Attributes:
        instances: for the programs that SageMaker runs.
        pods: called with the folder for artifacts, variables for every pod, and who is told of the tasks; while
            its context is open, KFP runs the pods so.
        arguments: of the pipeline, that go with it.
    """

    instances: Instances
    pods: Callable[[Path, Mapping[str, str], Listener], AbstractContextManager[None]]
    arguments: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def in_processes() -> Iterator[Executor]:
    """Processes of this machine."""
    programs = {f"ncf-{folder}": [str(_IMAGES / folder / program)] for folder, program in _PROGRAMS.items()}
    yield Executor(Processes(programs), pods_as_processes)


@contextmanager
def in_containers(package: Path, tag: str, readable: Sequence[Path]) -> Iterator[Executor]:
    """Containers of the images that ``make images`` has built; all of them are gone at the end.

    Args:
        package: the compiled pipeline, which is made to name these images.
        tag: of the images.
        readable: files and folders of this machine that pods may read.

    Raises:
        InputError: if there is no Docker engine, or an image is not there.
    """
    from ncf.localaws.containers import Containers
    from ncf.localaws.engine import Engine

    use_tag(package, tag)
    memory = memory_limits(package)
    arguments = {f"{folder}_image": with_tag(image(folder), tag) for folder in _PROGRAMS}
    engine = Engine()
    try:
        for name in (*memory, *arguments.values()):
            engine.find(name)
        network = engine.open_network("pods")
        instances = Containers(engine, engine.gateway(network))
        yield Executor(
            instances, partial(pods_as_containers, engine, network, readable=readable, memory=memory), arguments
        )
    finally:
        engine.close()
