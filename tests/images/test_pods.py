"""Pods in containers: what KFP's own DockerRunner gets wrong, and what can go wrong around it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.local.aws.engine import Engine
from components.local.docker_runner import pods_as_containers
from components.local.process_runner import TaskRun
from ncf.errors import InputError
from ncf.stage.executor_input import EXECUTOR_INPUT

WRITE_OUTPUT = """
import json, pathlib, sys
declared = json.loads(sys.argv[sys.argv.index("--executor-input") + 1])["outputs"]
path = pathlib.Path(declared["artifacts"]["model"]["artifacts"][0]["uri"])
path.parent.mkdir(parents=True)
path.write_text("weights")
output = pathlib.Path(declared["outputFile"])
output.parent.mkdir(parents=True, exist_ok=True)
artifact = {**declared["artifacts"]["model"]["artifacts"][0], "metadata": {"users": 3.0}}
output.write_text(json.dumps({"artifacts": {"model": {"artifacts": [artifact]}}}))
"""


class Recorder:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[TaskRun] = []

    def started(self, task: TaskRun) -> None: ...

    def line(self, task: TaskRun, text: str) -> None:  # noqa: ARG002
        self.lines.append(text)

    def finished(self, task: TaskRun) -> None:
        self.tasks.append(task)


def component(image: str, *command: str) -> Any:
    @dsl.container_component
    def task(model: dsl.Output[dsl.Model]):
        arguments = ["ncf", "task", EXECUTOR_INPUT, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        return dsl.ContainerSpec(image=image, command=list(command), args=arguments)

    return task


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def pods(engine: Engine, tmp_path: Path, recorder: Recorder) -> Callable[..., AbstractContextManager[None]]:
    network = engine.open_network("pods")

    def make(root: Path = tmp_path / "artifacts", **options: Any) -> AbstractContextManager[None]:
        return pods_as_containers(engine, network, root, {"FROM_THE_RUN": "1"}, recorder, **options)

    return make


def test_an_artifact_and_its_metadata_arrive(pods: Any, image: Any, recorder: Recorder) -> None:
    with pods():
        made = component(image("evaluate"), "python", "-c", WRITE_OUTPUT)()
    assert Path(made.outputs["model"].path).read_text() == "weights"
    assert made.outputs["model"].metadata == {"users": 3.0}
    assert recorder.tasks[0].outputs["model"]["metadata"] == {"users": 3.0}


def test_a_failure_is_never_a_success(pods: Any, image: Any, recorder: Recorder) -> None:
    """KFP's own runner reports about 3 in 100 of them as successes."""
    with pods():
        for _ in range(40):
            with pytest.raises(RuntimeError):
                component(image("evaluate"), "sh", "-c", "exit 3")()
            assert recorder.tasks[-1].exit_code == 3


def test_a_task_without_its_outputs_has_failed(pods: Any, image: Any, recorder: Recorder) -> None:
    with pods(), pytest.raises(RuntimeError):
        component(image("evaluate"), "true")()
    assert "its outputs are not all there" in recorder.tasks[-1].last_line


@pytest.fixture
def with_entrypoint(client: Any, image: Any) -> Iterator[str]:
    name = "ncf-test-entrypoint:1"
    dockerfile = f'FROM {image("evaluate")}\nENTRYPOINT ["false"]\n'
    subprocess.run(["docker", "build", "--quiet", "--tag", name, "-"], input=dockerfile, text=True, check=True)
    yield name
    client.images.remove(name, force=True)


def test_the_command_replaces_an_entrypoint(pods: Any, with_entrypoint: str) -> None:
    with pods():
        made = component(with_entrypoint, "python", "-c", WRITE_OUTPUT)()
    assert Path(made.outputs["model"].path).exists()


def test_a_pod_is_confined(pods: Any, image: Any, recorder: Recorder) -> None:
    script = "id -u; touch /opt/ncf/x || true; touch /tmp/x && echo scratch; echo from-the-run=$FROM_THE_RUN; exit 9"
    with pods(), pytest.raises(RuntimeError):
        component(image("evaluate"), "sh", "-c", script)()
    output = "\n".join(recorder.lines)
    assert recorder.lines[0] == "1000" if os.getuid() == 0 else str(os.getuid())
    assert "Read-only file system" in output
    assert "scratch" in recorder.lines
    assert "from-the-run=1" in recorder.lines


def test_only_what_is_given_can_be_read(pods: Any, image: Any, recorder: Recorder, tmp_path: Path) -> None:
    for name in ("given", "hidden"):
        (tmp_path / name).write_text(f"{name} content")
    script = f"cat {tmp_path}/given; echo; cat {tmp_path}/hidden; echo changed > {tmp_path}/given; exit 9"
    with pods(readable=[tmp_path / "given"]), pytest.raises(RuntimeError):
        component(image("evaluate"), "sh", "-c", script)()
    output = "\n".join(recorder.lines)
    assert "given content" in output
    assert "hidden content" not in output
    assert (tmp_path / "given").read_text() == "given content"


def test_a_pod_that_runs_out_of_memory_says_so(pods: Any, image: Any, recorder: Recorder) -> None:
    name = image("evaluate")
    with pods(memory={name: "64000000b"}), pytest.raises(RuntimeError):
        component(name, "python", "-c", "b'1' * 10**9")()
    assert recorder.tasks[-1].exit_code == 137
    assert recorder.tasks[-1].last_line == "the pod was killed because it ran out of memory; its limit is 64000000b"


def test_a_pod_that_is_killed_says_so(pods: Any, image: Any, recorder: Recorder) -> None:
    with pods(), pytest.raises(RuntimeError):
        component(image("evaluate"), "sh", "-c", "echo at work; exit 137")()
    assert recorder.tasks[-1].last_line == "it was ended by signal 9; its last line: at work"


@pytest.mark.parametrize("name", ["ncf-nothing:1", "registry.example.com/team/ncf-evaluate:no-such-tag"])
def test_a_missing_image_is_named_with_what_there_is(pods: Any, name: str, recorder: Recorder) -> None:
    with pods(), pytest.raises(RuntimeError):
        component(name, "true")()
    assert recorder.tasks[-1].exit_code == 2
    assert f"no image '{name}' on this machine" in recorder.tasks[-1].last_line
    if "evaluate" in name:
        assert "; there are ncf-evaluate:" in recorder.tasks[-1].last_line
    assert "make images" in recorder.tasks[-1].last_line


def test_a_command_that_the_image_lacks(pods: Any, image: Any, recorder: Recorder) -> None:
    with pods(), pytest.raises(RuntimeError):
        component(image("evaluate"), "no-such-command")()
    assert "no-such-command" in recorder.tasks[-1].last_line
    assert "\n" not in recorder.tasks[-1].last_line


def test_an_image_of_a_registry_is_found_by_the_name_it_was_built_with(engine: Engine, image: Any) -> None:
    assert engine.find(f"111122223333.dkr.ecr.us-east-1.amazonaws.com/{image('train')}") == image("train")
    with pytest.raises(InputError, match="there are"):
        engine.find("111122223333.dkr.ecr.us-east-1.amazonaws.com/ncf-train:none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_said_in_one_line(pods: Any, image: Any, data: Any, recorder: Recorder, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)], check=True)
    try:
        from kfp.components import load_component_from_file

        import pipeline

        text = (pipeline.ROOT / "components/preprocess/component.yaml").read_text()
        yaml = tmp_path / "component.yaml"
        yaml.write_text(
            text.replace(next(line for line in text.splitlines() if "image:" in line).split()[-1], image("preprocess"))
        )
        preprocess = load_component_from_file(str(yaml))

        @dsl.pipeline
        def run(uri: str):
            preprocess(interactions=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)

        with pods(small / "artifacts", readable=[data.interactions]), pytest.raises(RuntimeError):
            run(uri=str(data.interactions))
        assert recorder.tasks[-1].exit_code == 2
        assert "No space left on device" in recorder.tasks[-1].last_line
        assert not [path for path in small.rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", str(small)], check=True)
