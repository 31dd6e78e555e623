"""Python code of READMEs: each block runs as it is written, here or in a test that is named."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.components import load_component_from_file
from kfp.pipeline_spec import pipeline_spec_pb2
from names import Names
from older_proto import parse_older
from random_model import random_model
from readmes import READMES, ROOT, Block, blocks

import pipeline
from components.local.aws import LocalAws, Processes
from components.local.executors import in_processes
from components.local.run import quiet_kfp
from ncf import storage
from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.serving.recommender import Recommender
from ncf.stage import command, execution
from ncf.storage import upload
from tests.readmes.conftest import Sandbox

_ROLE = "arn:aws:iam::123456789012:role/ncf-train"
_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/"
_TESTED: Mapping[str, str] = {
    "def own_pipeline": "test_the_example_compiles_to_both_forms and test_the_example_trains_a_model",
    "def importer_pipeline": "test_the_example_with_an_importer_compiles",
    "def line_pipeline": "tests/pipeline/test_foreign.py, which runs it",
    "create_transform_job": "test_the_batch_transform_runs",
    **dict.fromkeys(
        ("class PopularityReport", "def test_the_most_popular_item_comes_first", "import popularity_report\n"),
        "tests/components/test_scaffold.py, which follows the section to the letter",
    ),
    "BUCKET, LIVE = ": "tests/stages/test_deploy_multi_model.py, test_the_client_of_the_readme",
    "onnxruntime.InferenceSession": "test_the_client_of_an_export_gets_the_answers_of_the_endpoint",
    "EXPERIMENT, SHARE = ": "tests/operators/test_experiment.py, test_the_client_of_the_readme",
    "from sagemaker.train import": "tests/images/check_notebook.py, which 'make check-local-mode' runs with AWS's SDK",
}
"""What a block contains -> its test."""


def _block(content: str) -> Block:
    (found,) = [block for readme in READMES for block in blocks(readme) if content in block.content]
    return found


def test_each_block_has_a_test() -> None:
    for readme in READMES:
        for block in blocks(readme):
            if block.language == "python":
                compile(block.content, f"{readme}:{block.line}", "exec")
                assert sum(content in block.content for content in _TESTED) == 1, f"{readme}:{block.line}"


@pytest.fixture
def compiled(sandbox: Sandbox) -> Path:
    """The folder in which the example of ``components/README.md`` has run."""
    (sandbox.folder / "own.py").write_text(_block("def own_pipeline").content)
    sandbox.run(".venv/bin/python own.py")
    return sandbox.folder


def test_the_example_compiles_to_both_forms(compiled: Path) -> None:
    pipeline.main(["older", str(compiled / "own.yaml"), str(compiled / "older.yaml")])
    newer, older = (yaml.safe_load((compiled / name).read_text()) for name in ("own.yaml", "older.yaml"))
    json_format.ParseDict(newer, pipeline_spec_pb2.PipelineSpec())
    parse_older(older)
    assert newer["defaultPipelineRoot"].startswith("s3://")
    for content, suffix in ((newer, ""), (older, "-root")):
        images = [executor["container"]["image"] for executor in content["deploymentSpec"]["executors"].values()]
        assert len(images) == 4
        assert all(image.startswith(_REGISTRY) and image.endswith(suffix) for image in images), images


def test_the_example_configures_pods_as_pipeline_py_does(compiled: Path) -> None:
    """CPU, memory, retries, threads, caching and the run's ID of each task."""
    own, ours = (yaml.safe_load(path.read_text()) for path in (compiled / "own.yaml", ROOT / pipeline.PIPELINE_YAML))
    tasks, expected = _tasks(own), _tasks(ours)
    assert set(tasks) == {"preprocess", "negative-sampling", "train", "finish"}
    for name, (task, container) in tasks.items():
        same, reference = expected[name]
        assert container["resources"] == reference["resources"], name
        assert container["env"] == reference["env"], name
        assert task["cachingOptions"] == same["cachingOptions"] == {}, name
        retries, longest = dict(task["retryPolicy"]), same["retryPolicy"]
        ends = int(retries.pop("backoffMaxDuration").removesuffix("s"))
        assert ends > 3 * 3600, "three jobs of an hour"
        assert retries == {key: value for key, value in longest.items() if key != "backoffMaxDuration"}, name
        if name in ("train", "finish"):
            given = task["inputs"]["parameters"]["run_id"]["runtimeValue"]["constant"]
            assert given == dsl.PIPELINE_JOB_ID_PLACEHOLDER
    (handler,) = [task for task, _ in (tasks["finish"],)]
    assert handler["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def _tasks(content: Any) -> dict[str, tuple[Any, Any]]:
    """Name of each component -> its task and its container."""
    found = {}
    for component in (content["root"], *content["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            inner = content["components"][task["componentRef"]["name"]]
            if label := inner.get("executorLabel"):
                executor = content["deploymentSpec"]["executors"][label]
                found[label.removeprefix("exec-")] = (task, executor["container"])
    return found


@pytest.mark.slow
def test_the_example_trains_a_model(
    compiled: Path, tmp_path: Path, quick_pods: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine, where artifacts are not in S3 and so travel through a prefix."""
    own = load_component_from_file(str(compiled / "own.yaml"))
    names = Names()
    with in_processes() as executor, LocalAws(tmp_path / "aws", executor.instances) as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        storage._client.cache_clear()
        aws.create_bucket("my-bucket")
        with quiet_kfp(), executor.pods(tmp_path / "root", aws.environment, names):
            own(data_uri=str(compiled / "ratings.csv"), train_role=_ROLE, epochs=1, s3_prefix="s3://my-bucket/copies")
    storage._client.cache_clear()
    assert names.names == ["preprocess", "negative-sampling", "train", "finish"]
    (model,) = (tmp_path / "root").glob("**/trained_model")
    ModelFolder.load(model)


def test_the_example_with_an_importer_compiles(compiled: Path) -> None:
    code = (
        f"{_block('def own_pipeline').content.partition('if __name__')[0]}\n{_block('def importer_pipeline').content}"
    )
    scope: dict[str, Any] = {}
    exec(compile(code.replace('f"build/', f'f"{compiled}/build/'), "README.md", "exec", dont_inherit=True), scope)
    spec = json_format.MessageToDict(scope["importer_pipeline"].pipeline_spec)
    (importer,) = [entry["importer"] for entry in spec["deploymentSpec"]["executors"].values() if "importer" in entry]
    assert importer["reimport"] is True


@pytest.fixture
def transform_account(
    tmp_path: Path, quick_pods: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], bytes]]:
    """An account with the model and the requests of the example; reads an object of its bucket."""
    programs = Processes({"ncf-deploy": [str(ROOT / "images" / "deploy" / "serve")]})
    random_model(n_users=50).save(tmp_path / "model", {}, {})
    (tmp_path / "requests").write_text('{"users": ["u42"]}\n{"item": "i1"}\n')
    with LocalAws(tmp_path / "aws", programs) as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        storage._client.cache_clear()
        aws.create_bucket("my-bucket")
        upload(tmp_path / "model", "s3://my-bucket/model")
        upload(tmp_path / "requests", "s3://my-bucket/requests/first.jsonl")
        source = {"S3Uri": "s3://my-bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {"Image": f"{_REGISTRY}ncf-deploy:1", "ModelDataSource": {"S3DataSource": source}}
        boto3.client("sagemaker").create_model(
            ModelName="ncf-shop-3f0c", ExecutionRoleArn=_ROLE, PrimaryContainer=container
        )
        yield lambda key: boto3.client("s3").get_object(Bucket="my-bucket", Key=key)["Body"].read()
    storage._client.cache_clear()


def test_the_batch_transform_runs(transform_account: Callable[[str], bytes]) -> None:
    code = _block("create_transform_job").content
    exec(compile(code, "README.md", "exec", dont_inherit=True), {})
    (name,) = re.findall(r'TransformJobName="(.*?)"', code)
    client = boto3.client("sagemaker")
    while (job := client.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        time.sleep(0.05)
    assert job["TransformJobStatus"] == "Completed", job
    first, second = transform_account("answers/first.jsonl.out").splitlines()
    assert json.loads(first)["recommendations"][0]["user"] == "u42"
    assert json.loads(second)["similar"]


@pytest.mark.parametrize("name", ["history", "gmf", "mlp", "neumf"])
def test_the_client_of_an_export_gets_the_answers_of_the_endpoint(
    name: ModelName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random_model(name, n_users=50).save(tmp_path / "model", {}, {})
    execution.run(command.load("export"), ["--model=model", "--output=output/onnx"])
    scope: dict[str, Any] = {}
    exec(compile(_block("onnxruntime.InferenceSession").content, "README.md", "exec", dont_inherit=True), scope)
    (expected,) = Recommender(ModelFolder.load(tmp_path / "model")).recommend(["u42"], 10)
    assert [item for item, _ in scope["recommended"]] == [item["item"] for item in expected["items"]]
    scores = [item["score"] for item in expected["items"]]
    assert [score for _, score in scope["recommended"]] == pytest.approx(scores, abs=1e-5)
