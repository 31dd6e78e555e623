"""A run is checked before it is sent, has a speaking name, and is waited for to its end."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import other_pipeline
import pytest
from fake_kfp import ROLE, FakeKfp, serving

import pipeline
from components.cluster import submission
from components.cluster.submission import descriptive_name
from components.factory import DEFAULT_REGISTRY

Run = Callable[..., tuple[int, str, str]]
RUNS = Path(__file__).parents[3] / "shared" / "kfp" / "backend"
NOWHERE = "--host=http://localhost:1"


def test_a_run_is_what_was_given(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    flags = ["--experiment=mine", "--run-name=my run", "--service-account=robot", "--param=train_epochs=3"]
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}/", *flags, *required)
    assert (code, out) == (0, "run-1\n")
    assert err == f"run 'my run': {host}/#/runs/details/run-1\n"
    sent = kfp.body("POST /runs")
    assert sent["display_name"] == "my run"
    assert sent["service_account"] == "robot"
    assert sent["experiment_id"] == "experiment-1"
    assert kfp.experiments["experiment-1"]["display_name"] == "mine"
    assert sent["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert sent["runtime_config"]["parameters"] == {
        "data_uri": "s3://bucket/in/ratings.csv",
        "train_role": ROLE,
        "deploy_role": ROLE,
        "train_epochs": 3,
    }
    assert sent["pipeline_spec"]["pipelineInfo"]["name"] == "ncf"


def test_an_experiment_is_made_once(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        for _ in range(2):
            assert run("submit", f"--host={host}", *required)[0] == 0
    assert len(kfp.experiments) == 1


def test_a_run_s_name_speaks(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        run("submit", f"--host={host}", *required)
        assert re.fullmatch(
            r"ncf ratings\.csv history \d{4}-\d\d-\d\d \d\d:\d\d", kfp.body("POST /runs")["display_name"]
        )
        run("submit", f"--host={host}", "--pipeline=recommend", "--param=model_uri=s3://bucket/run/model/")
    assert re.fullmatch(r"recommend model \d{4}-\d\d-\d\d \d\d:\d\d", kfp.body("POST /runs")["display_name"])


def test_a_release_is_named_after_its_package_and_needs_no_root(run: Run) -> None:
    kfp = FakeKfp()
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/shop/3"
    flags = [f"--param=deploy_role={ROLE}", "--param=deploy_endpoint_name=ncf-shop", f"--param=package={arn}"]
    with serving(kfp) as host:
        code, _, err = run("submit", f"--host={host}", "--pipeline=release", *flags)
        assert (code, "warning" in err) == (0, False)
        assert re.fullmatch(r"release shop/3 \d{4}-\d\d-\d\d \d\d:\d\d", kfp.body("POST /runs")["display_name"])
        code, _, err = run("submit", f"--host={host}", "--pipeline=release", *flags[:1])
    assert (code, "no default: deploy_endpoint_name" in err) == (2, True)


def test_a_long_name_is_cut() -> None:
    parameters = pipeline.ncf_pipeline.component_spec.inputs
    name = descriptive_name("ncf", parameters, {"data_uri": f"s3://bucket/{'x' * 300}", "train_model": "gmf"})
    assert name == f"ncf {'x' * 60}... gmf"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--param=data_uri=/data/ratings.csv"], "parameter 'data_uri' is '/data/ratings.csv', which pods cannot read"),
        (
            ["--param=data_uri=s3://b/d", "--param=data_items_uri=items.csv"],
            "parameter 'data_items_uri' is 'items.csv'",
        ),
        (
            ["--param=data_uri=s3://b/d", "--pipeline-root=minio://b/r"],
            "pipeline_root: 'minio://b/r' cannot be reached by SageM",
        ),
        (["--param=data_uri="], "no default: data_uri"),
        (["--param=data_uri=s3://b/d", "--package=none.yaml"], "package: 'none.yaml' does not exist"),
        (["--param=data_uri=s3://b/d", "--param=train_epochs=0"], "parameter 'train_epochs' is 0"),
        (["--pipeline=recommend", "--param=model_uri=output/model"], "parameter 'model_uri' is 'output/model'"),
        (
            ["--pipeline=recommend", "--param=model_uri=s3://b/m", "--param=users_uri=users.txt"],
            "parameter 'users_uri' is 'users.txt'",
        ),
        (
            ["--pipeline=recommend", "--param=model_uri=s3://b/m", "--param=checkpoints=/tmp/c"],
            "parameter 'checkpoints' is '/tmp/c'",
        ),
    ],
)
@pytest.mark.parametrize("command", [["submit"], ["schedule", "--interval=6h"]])
def test_what_cannot_work_is_said_before_any_call(run: Run, command: list[str], flags: list[str], said: str) -> None:
    roles = (
        []
        if flags[0] == "--pipeline=recommend"
        else [f"--param={each}={ROLE}" for each in ("train_role", "deploy_role")]
    )
    kfp = FakeKfp()
    with serving(kfp) as host:
        code, out, err = run(*command, f"--host={host}", *roles, *flags)
    assert (code, out, kfp.headers) == (2, "", [])
    assert said in err


@pytest.mark.parametrize("command", [["submit"], ["schedule", "--interval=6h"]])
@pytest.mark.parametrize("path", ["/home/me/ratings.csv", "ratings.csv", "~/data", "file:///data", "gs://b/data"])
def test_a_path_of_this_machine_says_what_to_do(run: Run, required: list[str], command: list[str], path: str) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        for name in ("data_uri", "warm_start"):
            given = [flag for flag in required if not flag.startswith(f"--param={name}")]
            code, out, err = run(*command, f"--host={host}", *given, f"--param={name}={path}")
            assert (code, out, kfp.headers) == (2, "", [])
            assert (
                f"parameter '{name}' is '{path}', which pods cannot read; expected an s3:// URI: copy the data" in err
            )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["rows=many", "source=x"], "parameter 'rows' is 'many'; expected a whole number"),
        (["source=x"], "these parameters have no default: rows"),
        (["rows=1", "source=x", "data_uri=s3://b/x"], "'data_uri' is not a parameter of the pipeline"),
        (["rows=1", "source=x", "epochs=3"], "'epochs' is not a parameter of the pipeline"),
        (["rows=1", "source=x", "candidates=0"], "parameter 'candidates' is 0: input should be greater"),
        (["rows=1", "source=x", "options=[1]"], "parameter 'options' is '[1]'; expected a JSON object"),
    ],
)
@pytest.mark.parametrize("command", [["submit"], ["schedule", "--interval=6h"]])
def test_a_package_is_checked_against_its_own_parameters(
    run: Run, tmp_path: Path, command: list[str], given: list[str], said: str
) -> None:
    package, kfp = other_pipeline.write(tmp_path / "mine.yaml"), FakeKfp()
    with serving(kfp) as host:
        code, out, err = run(*command, f"--host={host}", f"--package={package}", *(f"--param={each}" for each in given))
    assert (code, out, kfp.headers) == (2, "", [])
    assert said in err


def test_a_package_of_another_pipeline_is_run(run: Run, tmp_path: Path) -> None:
    package, kfp = other_pipeline.write(tmp_path / "mine.yaml"), FakeKfp()
    flags = [
        f"--package={package}",
        *(f"--param={each}" for each in ("rows=0", "source=x", "rate=1", "options={a: 1}")),
    ]
    with serving(kfp) as host:
        assert run("submit", f"--host={host}", *flags)[0] == 0
        assert kfp.body("POST /runs")["display_name"].startswith("mine 20")
        assert kfp.body("POST /runs")["runtime_config"]["parameters"] == {
            "rows": 0, "source": "x", "rate": 1.0, "options": {"a": 1},
        }  # fmt: skip
        assert run("upload", f"--host={host}", f"--package={package}", "--version-name=one")[0] == 0
    assert [made["display_name"] for made in kfp.pipelines.values()] == ["mine"]


def test_a_root_that_only_the_cluster_knows_is_one_line(run: Run, required: list[str]) -> None:
    *without_root, root = required
    prefix = "--param=aws_s3_prefix=s3://bucket/copies"
    with serving(FakeKfp()) as host:
        _, _, err = run("submit", f"--host={host}", *without_root)
        assert err.splitlines()[0].startswith("ncf: warning: neither --pipeline-root nor aws_s3_prefix is given")
        assert "'kfp-launcher'" in err
        assert "ends in preprocess" in err
        for given in ([root], [prefix], [prefix, "--pipeline-root=minio://bucket/root"]):
            code, _, err = run("submit", f"--host={host}", *without_root, *given)
            assert (code, "warning" in err) == (0, False)
        code, _, err = run("submit", f"--host={host}", "--pipeline=recommend", "--param=model_uri=s3://bucket/model")
        assert (code, "warning" in err) == (0, False)


@pytest.mark.parametrize("text", ["a: [", "a: 1", "", "- 1", "{}", "pipelineInfo: {name: x}"])
def test_a_package_that_is_none(run: Run, required: list[str], tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    kfp = FakeKfp()
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", f"--package={tmp_path}/p.yaml", *required)
    assert (code, out) == (2, "")
    assert f"package: '{tmp_path}/p.yaml' is not a compiled pipeline" in err
    assert not kfp.headers


def states(*names: str) -> Callable[[int], dict[str, Any]]:
    """A run that is in each state for one look."""
    return lambda look: {"state": names[min(look, len(names)) - 1]}


def test_waiting_for_success(run: Run, required: list[str]) -> None:
    kfp = FakeKfp(run=states("PENDING", "RUNNING", "RUNNING", "SUCCEEDED"))
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", "--wait", *required)
    assert (code, out, kfp.looks) == (0, "run-1\n", 4)
    assert re.findall(r"run run-1: (\w+)", err) == ["PENDING", "RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize("end", ["FAILED", "CANCELED", "SKIPPED"])
def test_waiting_for_another_end_is_exit_1(run: Run, required: list[str], end: str) -> None:
    details = {"task_details": [{"display_name": "train", "state": "FAILED"}, {"display_name": "evaluate"}]}
    kfp = FakeKfp(run=lambda _: {"state": end, "run_details": details, "error": {"code": 1, "message": "no luck"}})
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", "--wait", *required)
    assert (code, out) == (1, "run-1\n")
    assert f"run run-1 ended as {end}: no luck (failed: train); {host}/#/runs/details/run-1" in err


@pytest.mark.parametrize(
    ("folder", "code", "said"),
    [
        ("02-s3-root-success", 0, "SUCCEEDED"),
        ("11-deploy-failing", 1, "ended as FAILED (failed: deploy)"),
        ("20-training-job-failed", 1, "ended as FAILED (failed: train)"),
    ],
)
def test_waiting_for_real_runs(run: Run, required: list[str], folder: str, code: int, said: str) -> None:
    if not (RUNS / folder).is_dir():
        pytest.skip(f"runs of a real KFP are not at {RUNS}")
    real = json.loads((RUNS / folder / "run.json").read_text())
    kfp = FakeKfp(run=lambda _: {**real, "run_id": "run-1"})
    with serving(kfp) as host:
        found, _, err = run("submit", f"--host={host}", "--wait", *required)
    assert found == code
    assert said in err


def test_waiting_ends_after_its_time(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(run=states("RUNNING"))) as host:
        code, out, err = run("submit", f"--host={host}", "--wait", "--wait-timeout=1", *required)
    assert (code, out) == (1, "run-1\n")
    assert "run run-1 goes on: its state is RUNNING after 1 s" in err


def test_waiting_outlasts_an_api_that_is_away(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    kfp = FakeKfp()

    def gate(_: object, path: str) -> tuple[int, dict[str, str], bytes] | None:
        return (503, {}, b"upstream") if re.search(r"/runs/run-\d$", path) and next(looks) < 3 else None

    with serving(kfp, gate) as host:
        assert run("submit", f"--host={host}", "--wait", *required)[:2] == (0, "run-1\n")
        looks = itertools.count()
        monkeypatch.setattr(submission, "_SECONDS_OF_PATIENCE", 0.0)
        code, out, err = run("submit", f"--host={host}", "--wait", *required)
    assert (code, out) == (1, "run-2\n")
    assert "answered 503" in err


def test_a_token_is_read_anew_while_waiting(run: Run, required: list[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0")

    def gate(headers: Mapping[str, str], _: str) -> tuple[int, dict[str, str], bytes] | None:
        return None if headers.get("Authorization") == f"Bearer {token.read_text()}" else (401, {}, b"")

    def renew(look: int) -> dict[str, Any]:
        token.write_text(str(look))
        return {"state": "SUCCEEDED" if look == 3 else "RUNNING"}

    with serving(FakeKfp(run=renew), gate) as host:
        assert run("submit", f"--host={host}", f"--token={token}", "--wait", *required)[:2] == (0, "run-1\n")


def test_a_token_that_expires_while_waiting_leaves_the_run(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(), lambda _, path: (401, {}, b"") if path.endswith("run-1") else None) as host:
        code, out, err = run("submit", f"--host={host}", "--wait", *required)
    assert (code, out) == (2, "run-1\n")
    assert err.endswith("; run run-1 goes on\n")


def test_ctrl_c_while_waiting_leaves_the_run(run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(submission.time, "sleep", interrupt)
    with serving(FakeKfp(run=states("RUNNING"))) as host:
        code, out, err = run("submit", f"--host={host}", "--wait", *required)
    assert (code, out) == (130, "run-1\n")
    assert "interrupted; run run-1 goes on" in err
    assert "stopped" not in err


def test_a_time_to_wait_that_is_none(run: Run, required: list[str]) -> None:
    code, _, err = run("submit", NOWHERE, "--wait", "--wait-timeout=soon", *required)
    assert code == 2
    assert "wait_timeout: 'soon' is given; expected 1 seconds or more" in err


def test_a_package_whose_images_are_only_an_example_is_refused(
    run: Run, required: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "DEFAULT_REGISTRY", DEFAULT_REGISTRY)
    for command in (("submit", *required), ("upload",), ("schedule", "--interval=6h", *required)):
        code, _, said = run(*command, "--host=http://localhost:1")
        assert code == 2
        assert f"names images of {DEFAULT_REGISTRY}, which is only an example" in said
        assert "give that file as --package" in said
