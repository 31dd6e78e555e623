"""Single components in a pipeline of one's own, loaded from their component.yaml."""

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl
from kfp.components import load_component_from_file
from older_proto import parse_older

import pipeline
from components.local.process_runner import TaskRun, pods_as_processes
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.samples import Samples
from ncf.data import synthetic

COMPONENTS = Path(__file__).parents[2] / "components"


class Quiet:
    """Keeps the tasks and says nothing."""

    def __init__(self) -> None:
        self.tasks: list[TaskRun] = []

    def started(self, task: TaskRun) -> None:
        self.tasks.append(task)

    def line(self, task: TaskRun, text: str) -> None:
        """Shown to nobody."""

    def finished(self, task: TaskRun) -> None:
        """Kept at its start."""


preprocess = load_component_from_file(str(COMPONENTS / "preprocess" / "component.yaml"))
negative_sampling = load_component_from_file(str(COMPONENTS / "negative_sampling" / "component.yaml"))


@dsl.pipeline(name="own")
def own_pipeline(data_uri: str, candidates: int = 20) -> None:
    data = preprocess(interactions_uri=data_uri, min_rating=2.0)
    negative_sampling(dataset=data.outputs["dataset"], candidates=candidates)


@dsl.pipeline(name="own")
def pipeline_with_an_artifact(data_uri: str, candidates: int = 20) -> None:
    raw = dsl.importer(artifact_uri=data_uri, artifact_class=dsl.Dataset)
    data = preprocess(interactions=raw.output, min_rating=2.0)
    negative_sampling(dataset=data.outputs["dataset"], candidates=candidates)


@pytest.mark.parametrize("own", [own_pipeline, pipeline_with_an_artifact])
def test_two_components_in_a_pipeline_of_ones_own(own: Any, tmp_path: Path, quick_pods: None) -> None:
    synthetic.write(tmp_path / "data", users=60, items=120, interactions=1_500, seed=1)
    listener = Quiet()
    with pods_as_processes(tmp_path / "root", {}, listener):
        own(data_uri=str(tmp_path / "data" / "interactions.csv"))
    first, second = listener.tasks
    assert (first.name, second.name) == ("preprocess", "negative-sampling")
    dataset = Dataset.load(Path(first.outputs["dataset"]["uri"]))
    samples = Samples.load(Path(second.outputs["samples"]["uri"]))
    assert samples.test_candidates.shape == (len(dataset.test), 20)
    assert first.outputs["dataset"]["metadata"]["users"] == dataset.n_users


def test_a_failing_pod_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    """The local runner's canary: kfp's own classes are replaced by name, so an upgrade must be noticed."""
    (tmp_path / "empty.csv").touch()
    with (
        pytest.raises(RuntimeError),
        pods_as_processes(tmp_path / "r", {}, quiet := Quiet()),
    ):
        own_pipeline(data_uri=str(tmp_path / "empty.csv"))
    assert quiet.tasks[-1].exit_code == 2
    assert "empty.csv" in quiet.tasks[-1].last_line
    assert threading.active_count() < 20


def test_a_pipeline_of_somebody_else_is_rewritten_too(tmp_path: Path) -> None:
    @dsl.container_component
    def foreign(dataset: dsl.Input[dsl.Dataset]):
        return dsl.ContainerSpec(image="r.example/other:1", command=["true"])

    @dsl.pipeline(name="own")
    def own(uri: str) -> None:
        foreign(dataset=preprocess(interactions_uri=uri).outputs["dataset"])

    compiler.Compiler().compile(own, str(tmp_path / "own.yaml"))
    pipeline.main(["older", str(tmp_path / "own.yaml"), str(tmp_path / "own.older.yaml")])
    content = yaml.safe_load((tmp_path / "own.older.yaml").read_text())
    executors = content["deploymentSpec"]["executors"]
    assert executors["exec-foreign"]["container"]["image"] == "r.example/other:1"
    assert executors["exec-preprocess"]["container"]["image"].endswith("-root")
    assert set(content["components"]["comp-preprocess"]["inputDefinitions"]) == {"parameters"}
    assert set(content["components"]["comp-foreign"]["inputDefinitions"]["artifacts"]) == {"dataset"}
    parse_older(content)
    (tmp_path / "no.yaml").write_text("a: b")
    with pytest.raises(SystemExit) as left:
        pipeline.main(["older", str(tmp_path / "no.yaml"), str(tmp_path / "out.yaml")])
    assert left.value.code == 2
    assert not (tmp_path / "out.yaml").exists()
