"""What KFP hands a pod, and what a pod tells KFP."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from ncf.errors import InputError, RemoteError
from ncf.stage import command, execution, parsing
from ncf.stage.declaration import FinalStatus, Input, Output, OutputParameter, Stage
from ncf.stage.executor_input import EXECUTOR_INPUT, RUN_ID_PLACEHOLDER, ExecutorInput


class Sum(Stage):
    """Adds numbers."""

    numbers: str = Input("Dataset", "A file with a number a line")
    more: str = Input("Dataset", "Another such file", optional=True)
    start: int = Field(0, ge=0, lt=10, description="Where to begin, units")
    widths: list[int] = Field([2, 1], description="Widths")
    overrides: dict[str, Any] = Field({}, description="Overrides")
    label: str = Field("", description="Label")
    status: FinalStatus = Field(FinalStatus(""), description="How the run ended")
    run_id: str = Field("", description="Run")
    total: Path = Output("Metrics", "The sum")
    even: Path = OutputParameter(bool, "Whether the sum is even")

    def run(self) -> Mapping[str, str] | None:
        if self.label == "input":
            raise InputError(f"{self.numbers}: too odd")
        if self.label == "remote":
            raise RemoteError(f"{self.numbers}: gone", "# more")
        if self.label == "disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(self.numbers))
        total = self.start + sum(map(int, Path(self.numbers).read_text().split()))
        self.total.write_text(json.dumps({"total": total, "label": "x", "infinite": float("inf")}))
        self.even.write_text(json.dumps(total % 2 == 0))
        return {"total": "s3://elsewhere/total"} if self.label == "elsewhere" else None


def content(folder: Path, **parameters: Any) -> dict[str, Any]:
    """As a backend writes it; local copies lie in ``folder``, which stands for the launcher's /s3."""
    numbers = {"name": "14", "uri": "s3://in/run/numbers", "customPath": f"{folder}/s3/in/run/numbers"}
    total = {"name": "total", "uri": "s3://out/total", "metadata": {}, "customPath": f"{folder}/s3/out/total"}
    return {
        "inputs": {"artifacts": {"numbers": {"artifacts": [numbers]}}, "parameterValues": parameters},
        "outputs": {
            "artifacts": {
                "total": {"artifacts": [total]},
                "executor-logs": {"artifacts": [{"name": "executor-logs", "uri": "s3://out/executor-logs"}]},
            },
            "parameters": {"even": {"outputFile": f"{folder}/even"}},
            "outputFile": f"{folder}/executor_output.json",
        },
    }


def run(folder: Path, **parameters: Any) -> None:
    numbers = folder / "s3" / "in" / "run" / "numbers"
    numbers.parent.mkdir(parents=True, exist_ok=True)
    numbers.write_text("1\n2\n")
    arguments = [EXECUTOR_INPUT, json.dumps(content(folder, **parameters)), execution.UNCACHED, "3f0c"]
    execution.run(Sum, arguments)


def test_a_pod_reads_parameters_and_artifacts_there(tmp_path: Path) -> None:
    run(tmp_path, start=5.0)
    assert json.loads((tmp_path / "s3" / "out" / "total").read_text())["total"] == 8
    assert (tmp_path / "even").read_text() == "true"


@pytest.mark.parametrize(("label", "uri"), [("", "s3://out/total"), ("elsewhere", "s3://elsewhere/total")])
def test_kfp_hears_of_every_artifact(label: str, uri: str, tmp_path: Path) -> None:
    run(tmp_path, label=label)
    written = json.loads((tmp_path / "executor_output.json").read_text())["artifacts"]
    assert set(written) == {"total", "executor-logs"}, "what is missing vanishes from the run"
    (total,) = written["total"]["artifacts"]
    assert total["uri"] == uri
    assert total["metadata"] == {"total": 3.0}, "finite numbers alone: KFP takes neither NaN nor null"


@pytest.mark.parametrize(("given", "run_id"), [("3f0c", "3f0c"), (RUN_ID_PLACEHOLDER, "")])
def test_a_pod_knows_its_run(given: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = []
    monkeypatch.setattr(Sum, "run", lambda stage: known.append(stage.pipeline_run()))
    arguments = [EXECUTOR_INPUT, json.dumps(content(tmp_path)), execution.UNCACHED, given]
    with pytest.raises(RuntimeError, match="did not write"):
        execution.run(Sum, arguments)
    assert known == [run_id]


def test_values_as_kfp_passes_them(tmp_path: Path) -> None:
    status = {"error": {}, "state": "RUNNING"}
    given = content(
        tmp_path,
        start=3.0,
        widths=[64.0, 32.0],
        overrides={"a": 1.5},
        label="$(x) {{}} \"é'",
        status=status,
        run_id=None,
    )
    stage = parsing.from_executor_input(Sum, ExecutorInput(given))
    assert isinstance(stage, Sum)
    assert (stage.start, stage.widths, stage.overrides) == (3, [64, 32], {"a": 1.5})
    assert stage.label == "$(x) {{}} \"é'"
    assert json.loads(stage.status) == status
    assert stage.run_id == "", "null stands for what nobody gave"
    assert stage.more == "", "nor was the optional artifact"


def test_a_placeholder_that_nobody_replaces_is_no_run(tmp_path: Path) -> None:
    stage = parsing.from_executor_input(Sum, ExecutorInput(content(tmp_path, run_id=RUN_ID_PLACEHOLDER)))
    assert isinstance(stage, Sum)
    assert stage.run_id == ""


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("s3://bucket/a/b", "/s3/bucket/a/b"),
        ("minio://mlpipeline/v2/artifacts/x", "/minio/mlpipeline/v2/artifacts/x"),
        ("gs://bucket/x", "/gcs/bucket/x"),
        ("/tmp/root/x", "/tmp/root/x"),
    ],
)
def test_local_paths_are_the_launcher_s(uri: str, path: str) -> None:
    given = {"outputs": {"artifacts": {"x": {"artifacts": [{"uri": uri}]}}, "outputFile": "/tmp/out"}}
    assert ExecutorInput(given).paths == {"x": path}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"start": 12}, "parameter 'start' is 12: input should be less than 10"),
        ({"start": ""}, "parameter 'start' is ''"),
        ({"began": 1}, "parameter 'began' is 1: extra inputs are not permitted"),
    ],
)
def test_bad_values_are_named(parameters: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path, **parameters)


@pytest.mark.parametrize(
    "arguments",
    [[EXECUTOR_INPUT], [EXECUTOR_INPUT, "no json"], [EXECUTOR_INPUT, "[]"], [EXECUTOR_INPUT, '{"inputs": {}}']],
)
def test_what_is_no_executor_input_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InputError, match=r"must be followed by the JSON that KFP writes for \{\{\$\}\}"):
        execution.run(Sum, arguments)


@pytest.mark.parametrize(
    "damage",
    [
        {"inputs": {"parameterValues": [1]}},
        {"inputs": {"artifacts": {"numbers": {"artifacts": ["s3://x"]}}}},
        {"inputs": {"artifacts": {"numbers": {"artifacts": [{"uri": None}]}}}},
        {"outputs": {"outputFile": None}},
        {"outputs": {"outputFile": ""}},
        {"outputs": {"outputFile": "/tmp/o", "parameters": {"even": {}}}},
        {"outputs": {"outputFile": "/tmp/o", "artifacts": {"total": {"artifacts": []}}}},
        {
            "outputs": {
                "outputFile": "/tmp/o",
                "artifacts": {"total": {"artifacts": [{"uri": "/x", "metadata": ["x"]}]}},
            }
        },
        {"outputs": {"outputFile": "/tmp/o\0"}},
    ],
)
def test_a_damaged_one_is_refused_before_any_work(damage: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be followed by the JSON"):
        execution.run(Sum, [EXECUTOR_INPUT, json.dumps({**content(tmp_path), **damage})])


def test_one_that_names_no_place_for_an_output_or_an_output_as_a_parameter_is_refused(tmp_path: Path) -> None:
    given = content(tmp_path)
    del given["outputs"]["artifacts"]["total"]
    with pytest.raises(InputError, match="names no path for the output 'total'"):
        execution.run(Sum, [EXECUTOR_INPUT, json.dumps(given)])
    with pytest.raises(InputError, match="'total' is an artifact, but is given as a parameter"):
        execution.run(Sum, [EXECUTOR_INPUT, json.dumps(content(tmp_path, total="x"))])


def test_nothing_is_read_from_beside_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'--start' beside --executor-input"):
        execution.run(Sum, ["--start", "1", EXECUTOR_INPUT, json.dumps(content(tmp_path))])


@pytest.mark.parametrize(("label", "expected"), [("input", InputError), ("remote", RemoteError), ("disk", OSError)])
def test_errors_name_uris_not_the_launcher_s_copies(label: str, expected: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(expected) as error:
        run(tmp_path, label=label)
    assert "s3://in/run/numbers" in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_in_a_cluster_bad_input_says_that_a_retry_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="too odd$"):
        run(tmp_path, label="input")
    monkeypatch.setenv("KFP_POD_NAME", "ncf-x-1")
    with pytest.raises(
        InputError, match="too odd; a retry fails in the same way: correct it, then retry the run, or clone it"
    ):
        run(tmp_path, label="input")


_DIFF = {"name": "diff", "uri": "s3://bucket/diff", "type": {"schemaTitle": "system.HTML"}}
ADDED: dict[str, dict[str, Any]] = {
    "train": {"parameters": {"model_uri": {"outputFile": "/tmp/model_uri"}}},
    "deploy": {"parameters": {"target": {"outputFile": "/tmp/target"}}},
    "evaluate": {"artifacts": {"diff": {"artifacts": [_DIFF]}}},
}
"""Outputs that a stage has today, and had not in the pipelines that ran there."""
RENAMED = {"not_worse_than_popularity"}
"""Parameters of the pipelines that ran there, which have another name today."""


def test_a_real_backend_s_executor_inputs_are_understood(shared_kfp: Path) -> None:
    """Those of whole runs on 2.16.1, 2.17.0 and 2.0.0-alpha.7: each artifact is one of its stage's, or KFP's log."""
    seen = set()
    for path in sorted(shared_kfp.glob("driver/*/*/tasks/*/executor-input.json")):
        name = path.parent.name.partition("-")[2]
        if name not in command.commands():
            continue
        # 2.0.0-alpha.7 left this one as it was, which the pipelines no longer use
        given = ExecutorInput.parse(path.read_text().replace("{{$.pipeline_job_uuid}}", "run-1"))
        for kind, outputs in ADDED.get(name, {}).items():
            given.content["outputs"].setdefault(kind, {}).update(outputs)  # type: ignore[index]
        for renamed in RENAMED:
            given.content["inputs"]["parameterValues"].pop(renamed, None)  # type: ignore[index]
        stage = command.load(name)
        assert set(given.uris) - {"executor-logs"} <= {*stage.inputs(), *stage.outputs()}, path
        assert set(given.parameters) <= set(stage.parameters()), path
        for artifact, uri in given.uris.items():
            assert given.paths[artifact] == "/" + uri.replace("://", "/", 1)
        if path.parents[2].name.startswith("older") and path.parents[3].name != "2.0.0-alpha.7":
            continue  # of a file whose tasks left parameters out, which backends from 2.2 on made ''
        made = parsing.from_executor_input(stage, given)
        for parameter, value in given.parameters.items():
            assert getattr(made, parameter) == value or parameter == "status", f"{path}: {parameter}"
        seen.add(name)
    assert seen >= {"preprocess", "negative-sampling", "train", "evaluate", "deploy", "finish"}
