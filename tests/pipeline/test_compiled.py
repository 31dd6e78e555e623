"""The committed YAML is fresh, strict IR, and inside the portable subset."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.components import load_component_from_file
from kfp.pipeline_spec import pipeline_spec_pb2
from older_proto import parse_older

import ncf
import pipeline
from components.compiling import parameter_table, pipeline_names
from components.factory import DEFAULT_REGISTRY
from ncf.aws.settings import AwsAccess, Region
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage import command
from ncf.stage.registry import stage_names
from ncf.stages.monitor import Monitor
from ncf.stages.recommend import Recommend

ROOT = Path(pipeline.__file__).parent
RECOMMEND_YAML = f"components/recommend/{pipeline.PIPELINE_YAML}"
PAIRS = tuple(
    tuple(str(folder / name) for name in (pipeline.PIPELINE_YAML, pipeline.KUBEFLOW_1_7_YAML))
    for _, folder in pipeline.PIPELINES.values()
)
PACKAGES = tuple(name for pair in PAIRS for name in pair)
COMPONENTS = tuple(f"components/{stage}/component.yaml" for stage in stage_names())
CLUSTER = tuple(
    f"components/cluster/{name}.yaml"
    for name in ("permissions", "setup", "code-pipeline", "stop-jobs", "ephemeral-storage")
)


def load(name: str, folder: Path = ROOT) -> dict[str, Any]:
    documents = list(yaml.safe_load_all((folder / name).read_text()))
    assert len(documents) == 1, f"{name}: a platform spec is not portable"
    content: dict[str, Any] = documents[0]
    return content


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    subprocess.run([sys.executable, "pipeline.py", "compile", "--output", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("name", [*PACKAGES, *COMPONENTS, *CLUSTER])
def test_committed_yaml_is_fresh(name: str, fresh: Path) -> None:
    assert (ROOT / name).read_text() == (fresh / name).read_text(), "run 'make pipeline' and commit what it writes"


def test_the_table_of_parameters_in_the_readme_is_fresh(fresh: Path) -> None:
    assert parameter_table.table(fresh / pipeline.PIPELINE_YAML) in (ROOT / parameter_table.README).read_text()


def test_the_names_in_the_help_of_stages_are_fresh() -> None:
    specs = [composed.pipeline_spec for composed, _ in pipeline.PIPELINES.values()]
    assert pipeline_names.content(specs) == (ROOT / pipeline_names.FILE).read_text(), "run 'make pipeline'"


def test_both_names_of_a_parameter_are_in_the_table(fresh: Path) -> None:
    rows = [row.split(" | ")[:2] for row in parameter_table.table(fresh / pipeline.PIPELINE_YAML).splitlines()[2:]]
    names = {name.strip("| `"): stage.strip() for name, stage in rows}
    assert names["data_min_rating"] == "`min_rating`"
    expected = "`champion_endpoint` of evaluate and preprocess and train, `endpoint_name` of deploy"
    assert names["deploy_endpoint_name"] == expected
    assert names["seed"] == ""


@pytest.mark.parametrize("name", [*(newer for newer, _ in PAIRS), *COMPONENTS])
def test_ir_parses_strictly(name: str) -> None:
    content = load(name)
    json_format.ParseDict(content, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(content["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())


@pytest.mark.parametrize(("newer", "older"), PAIRS)
def test_older_ir_parses_strictly_against_the_proto_of_kubeflow_1_7(newer: str, older: str) -> None:
    parse_older(load(older))
    with pytest.raises(json_format.ParseError):  # the test can fail: today's form is refused
        parse_older(load(newer))


@pytest.mark.parametrize("pair", PAIRS)
def test_older_form_differs_in_fields_and_images_alone(pair: tuple[str, str]) -> None:
    newer, older = (load(name) for name in pair)
    assert set(newer["components"]) == set(older["components"])
    for name, executor in older["deploymentSpec"]["executors"].items():
        if container := executor.get("container"):
            assert container["image"] == newer["deploymentSpec"]["executors"][name]["container"]["image"] + "-root"
            assert container["command"] == newer["deploymentSpec"]["executors"][name]["container"]["command"]


def dags(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each DAG of a pipeline, with its component."""
    for component in (content["root"], *content.get("components", {}).values()):
        if "dag" in component:
            yield component, component["dag"]


@pytest.mark.parametrize("name", PACKAGES)
def test_references_between_tasks_resolve(name: str) -> None:
    content = load(name)
    for component, dag in dags(content):
        for task in dag["tasks"].values():
            inputs = task.get("inputs", {})
            for kind, producer, key in (
                ("parameters", "taskOutputParameter", "outputParameterKey"),
                ("artifacts", "taskOutputArtifact", "outputArtifactKey"),
            ):
                for entry in inputs.get(kind, {}).values():
                    if producer in entry:
                        source = dag["tasks"][entry[producer]["producerTask"]]["componentRef"]["name"]
                        assert entry[producer][key] in content["components"][source]["outputDefinitions"][kind]
                    if inherited := entry.get("componentInputParameter") or entry.get("componentInputArtifact"):
                        assert inherited in component["inputDefinitions"][kind]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_output_that_another_stage_could_use_is_referenced(name: str) -> None:
    content = load(name)
    used = {
        (dag["tasks"][entry[producer]["producerTask"]]["componentRef"]["name"], entry[producer][key])
        for _, dag in dags(content)
        for task in dag["tasks"].values()
        for entries in task.get("inputs", {}).values()
        for entry in entries.values()
        for producer, key in (
            ("taskOutputParameter", "outputParameterKey"),
            ("taskOutputArtifact", "outputArtifactKey"),
        )
        if producer in entry
    }
    results = {  # what it is all for
        ("comp-deploy", "endpoint"),
        ("comp-deploy", "target"),
        ("comp-recommend", "recommendations"),
        ("comp-monitor", "figures"),
        ("comp-monitor", "breached"),
    }
    shown = {"system.HTML", "system.Markdown", "system.Metrics"}  # for people: the UI renders these
    for component, entry in content["components"].items():
        if "executorLabel" not in entry:
            continue
        for kind, outputs in entry.get("outputDefinitions", {}).items():
            for output, definition in outputs.items():
                title = definition.get("artifactType", {}).get("schemaTitle")
                if title not in shown and (component, output) not in results:
                    assert (component, output) in used, f"{component}: nobody reads {kind} {output}"


def containers(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The container of each executor."""
    return {label: entry["container"] for label, entry in content["deploymentSpec"]["executors"].items()}


@pytest.mark.parametrize("name", [*PACKAGES, *COMPONENTS])
def test_containers_are_handed_the_executor_input_alone(name: str) -> None:
    """No placeholder of a parameter or an artifact: 2.17.0 fails on those that a task leaves out, 2.2 to 2.16 put ''."""
    for label, container in containers(load(name)).items():
        stage = command.load(label.removeprefix("exec-"))
        # the last one differs from run to run, so that KFP takes no earlier run's result
        assert container["args"] == ["--executor-input", "{{$}}", "--uncached", "{{workflow.uid}}"]
        assert container["command"] == ["python", "-m", "ncf", stage.command_name()]
        assert not re.search(r"\{\{\$\.", str(container)), "an importer or a placeholder"


@pytest.mark.parametrize("name", PACKAGES)
def test_every_task_passes_every_parameter_of_its_component(name: str) -> None:
    content = load(name)
    for _, dag in dags(content):
        for task in dag["tasks"].values():
            component = content["components"][task["componentRef"]["name"]]
            declared = component.get("inputDefinitions", {}).get("parameters", {})
            assert set(task.get("inputs", {}).get("parameters", {})) == set(declared), task["taskInfo"]["name"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_artifact_of_a_task_is_a_task_s_output(name: str) -> None:
    """Backends before 2.0.3 pass none into a nested pipeline, and 2.0.0-alpha.7 imports none by a runtime URI."""
    for _, dag in dags(load(name)):
        for task in dag["tasks"].values():
            for entry in task.get("inputs", {}).get("artifacts", {}).values():
                assert list(entry) == ["taskOutputArtifact"]


@pytest.mark.parametrize("name", [older for _, older in PAIRS])
def test_every_input_artifact_of_the_older_form_is_passed(name: str) -> None:
    """Its backends know no optional ones."""
    content = load(name)
    for _, dag in dags(content):
        for task in dag["tasks"].values():
            component = content["components"][task["componentRef"]["name"]]
            declared = component.get("inputDefinitions", {}).get("artifacts", {})
            assert set(task.get("inputs", {}).get("artifacts", {})) == set(declared)


def test_the_form_that_ran_on_every_version_has_the_same_shape(shared_kfp: Path) -> None:
    """Tasks and their artifacts are those of the file that ran unchanged on 2.0.0-alpha.7, 2.4.1, 2.16.1 and 2.17.0."""

    def shape(content: dict[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
        return {
            name: (sorted(task.get("dependentTasks", [])), sorted(task.get("inputs", {}).get("artifacts", {})))
            for _, dag in dags(content)
            for name, task in dag["tasks"].items()
        }

    ran = shape(yaml.safe_load((shared_kfp / "portable" / "pipeline.yaml").read_text()))
    ran |= {  # what came later
        "check": ([], []),
        "preprocess": (["check"], []),
        "register": (["evaluate", "train"], ["diff", "metrics", "report"]),
        "release": (["register", "train"], []),
    }
    for name in (pipeline.PIPELINE_YAML, pipeline.KUBEFLOW_1_7_YAML):
        ours = shape(load(name))
        assert {task: ours[task] for task in ran} == ran


def longest_stage() -> int:
    """Seconds that a stage can take: all attempts of a training job, which may wait for spot instances."""
    le = {
        name: next(limit.le for limit in JobSettings.model_fields[name].metadata if hasattr(limit, "le"))
        for name in ("max_attempts", "max_run_time", "max_wait_time")
    }
    return int(le["max_attempts"] * max(le["max_run_time"], le["max_wait_time"]))


@pytest.mark.parametrize("name", [newer for newer, _ in PAIRS])
def test_retries_outlast_the_longest_stage(name: str) -> None:
    """Argo counts backoffMaxDuration from the start of the first try, and takes 0 for no retry at all."""
    found = 0
    for _, dag in dags(load(name)):
        for task in dag["tasks"].values():
            if policy := task.get("retryPolicy"):
                assert policy["maxRetryCount"] == 2
                assert int(policy["backoffMaxDuration"].removesuffix("s")) > longest_stage()
                found += 1
    tried_once = {"exec-check"} & set(containers(load(name)))
    assert found == len(containers(load(name))) - len(tried_once)


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_leave_retries_to_the_pipeline_that_they_are_in(name: str) -> None:
    assert "retryPolicy" not in (ROOT / name).read_text()


def cache_key(name: str, run: str, parameters: dict[str, Any]) -> str:
    """What KFP's driver looks an earlier result up by: the container with its arguments, in which the API server has
    put the run's ID, and the inputs that a task gives (backend/src/v2/cacheutils/cache.go)."""
    (container,) = containers(yaml.safe_load((ROOT / name).read_text().replace("{{workflow.uid}}", run))).values()
    key = {"args": [*container["command"], *container["args"]], "image": container["image"], "parameters": parameters}
    return json.dumps(key, sort_keys=True)


@pytest.mark.parametrize("name", COMPONENTS)
def test_nobody_s_pipeline_gets_an_old_result_of_what_reads_the_world(name: str) -> None:
    """Two runs whose tasks leave all parameters to their defaults, which are no part of KFP's key."""
    assert cache_key(name, "run-1", {}) != cache_key(name, "run-2", {})
    assert cache_key(name, "run-1", {}) == cache_key(name, "run-1", {}), "the test can fail"


@pytest.mark.parametrize("name", PACKAGES)
def test_no_task_is_cached(name: str) -> None:
    content = load(name)
    for _, dag in dags(content):
        for task in dag["tasks"].values():
            if "executorLabel" in content["components"][task["componentRef"]["name"]]:
                assert not task.get("cachingOptions", {}).get("enableCache")


@pytest.mark.parametrize("name", PACKAGES)
def test_no_parameter_inside_a_constant(name: str) -> None:
    def constants(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "constant":
                    yield str(value)
                yield from constants(value)
        elif isinstance(node, list):
            for value in node:
                yield from constants(value)

    found = [text for text in constants(load(name)) if re.search(r"\{\{(?!workflow\.uid\}\}$)", text)]
    assert found == []


@pytest.mark.parametrize("name", PACKAGES)
def test_portable_subset(name: str) -> None:
    text = (ROOT / name).read_text()
    for feature in ("OneOf", "Collected", "Concat", "IfPresent", "parameterIterator", "artifactIterator"):
        assert feature not in text
    for executor in load(name)["deploymentSpec"]["executors"].values():
        if container := executor.get("container"):
            assert container["command"][:3] == ["python", "-m", "ncf"]
            assert container["resources"]["cpuLimit"]
            assert container["resources"]["memoryLimit"]


def test_images_are_the_default_registry_and_the_version() -> None:
    executors = load(pipeline.PIPELINE_YAML)["deploymentSpec"]["executors"]
    images = {entry["container"]["image"] for entry in executors.values() if "container" in entry}
    names = ("preprocess", "negative-sampling", "evaluate", "sagemaker")
    assert images == {f"{DEFAULT_REGISTRY}/ncf-{name}:{ncf.__version__}" for name in names}


def test_the_second_pipeline_runs_one_image() -> None:
    executors = load(RECOMMEND_YAML)["deploymentSpec"]["executors"]
    images = {entry["container"]["image"] for entry in executors.values() if "container" in entry}
    assert images == {f"{DEFAULT_REGISTRY}/ncf-recommend:{ncf.__version__}"}
    parameters = load(RECOMMEND_YAML)["root"]["inputDefinitions"]["parameters"]
    assert {name for name, entry in parameters.items() if "defaultValue" not in entry} == {"model_uri"}
    ours = {"users_uri": "users", "aws_region": "region"}
    assert {ours.get(name, name) for name in parameters} == set(Recommend.parameters()), "each of the stage is one here"


def test_the_pipeline_that_monitors_has_each_parameter_of_its_stage() -> None:
    parameters = load(f"components/monitor/{pipeline.PIPELINE_YAML}")["root"]["inputDefinitions"]["parameters"]
    assert {name for name, entry in parameters.items() if "defaultValue" not in entry} == {"endpoint_name"}
    ours = {"aws_region": "region"}
    identity = AwsAccess.model_fields.keys() - Region.model_fields.keys()
    assert {ours.get(name, name) for name in parameters} == Monitor.parameters().keys() - identity


def test_registry_and_tag_come_from_the_environment(tmp_path: Path) -> None:
    environment = {"NCF_REGISTRY": "r.example/x", "NCF_TAG": "abc", "PATH": ""}
    command = [sys.executable, "pipeline.py", "compile", "--output", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    text = (tmp_path / pipeline.PIPELINE_YAML).read_text()
    assert DEFAULT_REGISTRY not in text
    assert "r.example/x/ncf-train:abc" in text
    assert "r.example/x/ncf-sagemaker:abc-root" in (tmp_path / pipeline.KUBEFLOW_1_7_YAML).read_text()


@pytest.mark.parametrize(
    ("registry", "tag"),
    [("http://r.example", "1"), ("r.example/", "1"), ("r.example", "a b"), ("r.example", "-x"), ("r.example", "{{x}}")],
)
def test_a_registry_or_tag_that_names_no_image_is_refused(
    registry: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NCF_REGISTRY", registry)
    monkeypatch.setenv("NCF_TAG", tag)
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["compile", "--output", str(tmp_path / "out")])
    assert capsys.readouterr().err.startswith(("ncf: error: registry: ", "ncf: error: tag: "))
    assert not (tmp_path / "out").exists()


def test_parameters_of_the_run_form() -> None:
    parameters = load(pipeline.PIPELINE_YAML)["root"]["inputDefinitions"]["parameters"]
    required = {name for name, entry in parameters.items() if "defaultValue" not in entry}
    assert required == {"data_uri", "train_role", "deploy_role"}
    assert all("_" in name for name in {*parameters} - {"notify", "seed", "register", "release"}), (
        "the component stands before the parameter"
    )


@pytest.mark.parametrize("name", COMPONENTS)
def test_component_yaml_loads_and_compiles_to_itself(name: str, tmp_path: Path) -> None:
    component = load_component_from_file(str(ROOT / name))
    from components.factory import write_yaml

    write_yaml(component, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == (ROOT / name).read_text()


def test_the_top_level_of_the_graph_says_what_happens() -> None:
    tasks = load(pipeline.PIPELINE_YAML)["root"]["dag"]["tasks"]
    assert {task["taskInfo"]["name"] for task in tasks.values()} == {"preprocess-train-evaluate-deploy", "finish"}
