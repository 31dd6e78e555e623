"""Whole runs on this machine: `python pipeline.py run`, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from warm_python import shared_python

import pipeline
from components.local.aws import LocalAws, Processes
from components.local.run_folder import RunFolder
from ncf import storage
from ncf.data import synthetic
from ncf.storage import upload

ROOT = Path(pipeline.__file__).parent
NOWHERE = "http://127.0.0.1:9"
ELSEWHERE = {
    **{f"AWS_ENDPOINT_URL{service}": NOWHERE for service in ("", "_S3", "_SAGEMAKER", "_STS", "_CLOUDWATCH_LOGS")},
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), NOWHERE),
    "NO_PROXY": "example.com",
    "no_proxy": "",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_PROFILE": "elsewhere",
    "AWS_DEFAULT_PROFILE": "elsewhere",
    "AWS_REGION": "eu-west-1",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/elsewhere",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
    "AWS_CA_BUNDLE": "/nowhere",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_RETRY_MODE": "elsewhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": NOWHERE,
}
"""Variables of a shell that lead AWS clients elsewhere."""
ELSEWHERE_BY_FILE = f"""
[default]
endpoint_url = {NOWHERE}
services = elsewhere
[profile elsewhere]
endpoint_url = {NOWHERE}
services = elsewhere
[services elsewhere]
s3 =
  endpoint_url = {NOWHERE}
sagemaker =
  endpoint_url = {NOWHERE}
"""
FAST = ("epochs=2", "factors=8", "tower=[16,8]")


def start(
    *arguments: str, output: Path, parameters: tuple[str, ...] = FAST, python: str = sys.executable, **environment: str
) -> subprocess.Popen[str]:
    flags = [flag for parameter in parameters for flag in ("--param", parameter)]
    return subprocess.Popen(
        [python, "pipeline.py", "run", "--output", str(output), *arguments, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # tests may run under nohup
    )


def run(*arguments: str, output: Path, parameters: tuple[str, ...] = FAST, **environment: str) -> tuple[int, str, str]:
    process = start(*arguments, output=output, parameters=parameters, python=str(shared_python()), **environment)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def left_processes(folder: Path) -> list[str]:
    """Those of :func:`processes_of` that live 5 seconds longer. A run's watcher ends a second after it."""
    deadline = time.monotonic() + 5
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes_of(folder: Path) -> list[str]:
    """Command lines and environments of live processes that mention ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_text() + (entry / "environ").read_text()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(folder) in text and state != "Z":
            found.append(text.replace("\0", " ")[:200])
    return found


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, users=300, items=250, interactions=9_000, seed=3)
    return folder


@pytest.fixture(scope="module")
def finished(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    output, scratch = tmp_path_factory.mktemp("run") / "out", tmp_path_factory.mktemp("scratch")
    (scratch / "config").write_text(ELSEWHERE_BY_FILE)
    code, out, err = run(
        "--data",
        str(small_data / "interactions.csv"),
        "--items",
        str(small_data / "items.csv"),
        output=output,
        parameters=(*FAST, "gate_not_worse_than=none"),
        TMPDIR=str(scratch),
        AWS_CONFIG_FILE=str(scratch / "config"),
        **ELSEWHERE,
    )
    assert code == 0, out + err
    assert not list(scratch.glob("kfp-*")), "the temporary files of KFP are gone"
    return json.loads((output / "summary.json").read_text()), out, output


def test_an_open_gate_deploys_and_the_endpoint_answers(finished: tuple[dict[str, Any], str, Path]) -> None:
    summary, _, _ = finished
    assert [stage["name"] for stage in summary["stages"]] == [
        "preprocess",
        "negative-sampling",
        "train",
        "evaluate",
        "register",
        "deploy",
    ]
    assert {stage["status"] for stage in summary["stages"]} == {"succeeded"}
    assert summary["gate_passed"] is True
    assert summary["package"] == "arn:aws:sagemaker:us-east-1:123456789012:model-package/ncf/1"
    deployed = next((Path(summary["folder"]) / "artifacts").rglob("deploy/**/summary")).read_text()
    assert "ncf version 1" in deployed, "deployed from the package"
    assert summary["endpoint"]["name"]
    assert 0 < summary["metrics"]["hr_at_10"] <= 1
    assert 0 < summary["metrics"]["ndcg_at_10"] <= summary["metrics"]["hr_at_10"]
    assert len(summary["recommendations"]) == 3


def test_recommendations_are_unseen_items_with_their_titles(
    finished: tuple[dict[str, Any], str, Path], small_data: Path
) -> None:
    rows = [line.split(",") for line in (small_data / "interactions.csv").read_text().splitlines()[1:]]
    titles = dict(line.split(",", 1) for line in (small_data / "items.csv").read_text().splitlines()[1:])
    for entry in finished[0]["recommendations"]:
        seen = {row[1] for row in rows if row[0] == entry["user"]}
        items = [item["item"] for item in entry["items"]]
        assert seen
        assert len(set(items)) == 10
        assert not seen & set(items)
        assert all(item["title"] == titles[item["item"]].strip('"') for item in entry["items"])


def test_the_console_shows_stages_metrics_titles_and_report(
    finished: tuple[dict[str, Any], str, Path],
) -> None:
    summary, out, _ = finished
    for words in ("preprocess", "negative-sampling", "HR@10", "popularity", "NDCG@10", "Gate: passed"):
        assert words in out
    assert all(check in out for check in summary["gate_checks"])
    assert "EASE" in summary["gate_checks"][0]
    for name in ("report", "data_report"):
        report = Path(summary[name]).read_text()
        assert "<svg" in report
        assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", report), "the report is self-contained"
    results = {row.split()[1]: row for row in out.splitlines() if row.startswith("│") and "succeeded" in row}
    assert list(results) == [stage["name"] for stage in summary["stages"]]
    assert "users 300, items 2" in results["preprocess"]
    assert re.search(r"HR@10 0\.\d{4}, NDCG@10 0\.\d{4}", results["train"])
    assert re.search(r"whole catalogue: NDCG@10 0\.\d{4},", results["evaluate"])
    assert "package ncf/1" in results["register"]
    before = out.partition("is started")[0]
    assert re.search(r"forecast: [\d,]+ rows; after the filters ", before)
    assert "forecast: train: " in before, "before the job is paid for"


def test_the_report_names_processes_and_no_image(finished: tuple[dict[str, Any], str, Path]) -> None:
    report = Path(finished[0]["report"]).read_text()
    assert re.search(r"Training image</t[dh]><td[^>]*>processes-of-this-machine/ncf-train:\w", report)
    assert ".dkr.ecr." not in report


def test_the_run_s_id_and_paths_are_printed_and_in_the_summary(finished: tuple[dict[str, Any], str, Path]) -> None:
    summary, out, output = finished
    folder = output.resolve()
    assert output.is_symlink()
    assert folder.name.startswith("out-")
    assert folder.name.endswith(summary["run_id"][:8])
    assert out.startswith(f"Run {summary['run_id']} in {folder}\n")
    pages = {"report": "report.html", "diff": "diff.html", "data_report": "data-report.html"}
    files = {**pages, "summary": "summary.json", "model": "model"}
    for page in pages.values():
        links = set(re.findall(r'<a href="([\w.-]+)">', (folder / page).read_text()))
        assert links == set(pages.values()) - {page}
    assert {name: summary[name] for name in files} == {name: str(folder / file) for name, file in files.items()}
    assert summary["folder"] == str(folder)
    end = out[out.index("Folder:") :]
    for name in files:
        assert summary[name] in end
    assert f"{output} is a link to it" in end


def test_the_commands_that_are_printed_for_what_follows_work(
    finished: tuple[dict[str, Any], str, Path], tmp_path: Path
) -> None:
    summary, out, _ = finished
    batch, show = summary["next"]
    assert out.rstrip().endswith(f"Next:\n  {batch}\n  {show}")
    assert batch == f"make recommend MODEL={summary['model']}"
    # the environment is there: its set-up is no part of this test
    batch = f"make -o .venv/.ready -o .venv/.installed {batch.removeprefix('make ')} OUTPUT={tmp_path}/batch"
    for command in (batch, show):
        ran = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "batch" / "recommendations" / "manifest.json").is_file()
    assert summary["recommendations"][0]["items"][0]["title"] in ran.stdout


def test_lines_show_names_in_place_of_the_run_s_paths(finished: tuple[dict[str, Any], str, Path]) -> None:
    _, out, output = finished
    progress = out[out.index("▶") : out.rindex("✓")]
    assert "preprocess has written dataset, report, metrics\n" in progress
    assert output.resolve().name not in progress


def test_no_console_of_aws_is_linked(finished: tuple[dict[str, Any], str, Path]) -> None:
    """The jobs and endpoints are the stand-in's."""
    _, out, output = finished
    assert "console.aws" not in out
    texts = [
        path for path in (output / "artifacts").rglob("*") if path.is_file() and path.name in ("summary", "report")
    ]
    assert len(texts) >= 8
    assert not [path for path in texts if "console.aws" in path.read_text()]


def test_nothing_is_left_running(finished: tuple[dict[str, Any], str, Path]) -> None:
    assert left_processes(finished[2]) == []


@pytest.mark.slow
def test_a_closed_gate_deploys_nothing(small_data: Path, tmp_path: Path) -> None:
    code, out, err = run(
        *("--data", str(small_data), "--keep-endpoint"),
        output=tmp_path / "out",
        parameters=(*FAST, "gate_min_hr_at_10=0.999"),
    )
    assert code == 0, out + err
    assert out.endswith("No endpoint is kept: the gate is closed, so none was made.\n")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["gate_passed"] is False
    assert "0.999" in summary["gate_checks"][0]
    assert "Gate: closed: nothing was deployed" in out
    assert summary["endpoint"] is None
    assert summary["recommendations"] == []
    assert [stage["status"] for stage in summary["stages"]] == ["succeeded"] * 5 + ["skipped"]
    assert summary["package"] == ""
    assert not list((tmp_path / "out" / "local-aws").rglob("endpoints/*"))


@pytest.mark.slow
def test_a_model_that_waits_for_approval_is_registered_and_not_deployed(small_data: Path, tmp_path: Path) -> None:
    code, out, err = run(
        *("--data", str(small_data), "--keep-endpoint"),
        output=tmp_path / "out",
        parameters=(*FAST, "gate_not_worse_than=none", "release=on_approval", "registry_group=shop"),
    )
    assert code == 0, out + err
    assert "Gate: passed; by the parameter release, nothing was deployed" in out
    assert "package shop/1" in out
    assert "Package shop/1 ends with the account of this run; that of 'make aws' outlives runs." in out
    assert out.endswith("No endpoint is kept: release is not at_once, so none was made.\n")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["gate_passed"], summary["endpoint"]) == (True, None)
    assert summary["package"].endswith(":model-package/shop/1")
    registered = next((tmp_path / "out" / "artifacts").rglob("register/**/summary")).read_text()
    assert "PendingManualApproval" in registered
    assert "ncf approve shop/1" in registered


@pytest.mark.slow
def test_keep_endpoint_prints_a_request_that_works_and_ctrl_c_stops_all(small_data: Path, tmp_path: Path) -> None:
    process = start(
        "--data",
        str(small_data / "interactions.csv"),
        "--keep-endpoint",
        output=tmp_path / "out",
        parameters=(*FAST, "gate_not_worse_than=none"),
    )
    assert process.stdout is not None
    page = re.search(r"http://\S+/$", next(line for line in process.stdout if "in a browser" in line).strip())
    assert page is not None
    with urllib.request.urlopen(page[0], timeout=10) as answer:
        assert "text/html" in answer.headers["content-type"]
    line = next(line for line in process.stdout if "curl" in line)
    found = re.search(r"(http://\S+/invocations) .*-d '(\{.*\})'", line)
    assert found is not None, line
    request = urllib.request.Request(found[1], data=found[2].encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert len(json.loads(answer.read())["recommendations"][0]["items"]) == 10
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, "it was stopped as the run said"
    assert out.endswith("Stopping the endpoint\n")
    assert "error" not in err
    assert left_processes(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGHUP, 129, ""), (signal.SIGKILL, -signal.SIGKILL, "")],
)
def test_a_signal_in_the_middle_stops_all(small_data: Path, tmp_path: Path, number: int, code: int, said: str) -> None:
    process = start("--data", str(small_data / "interactions.csv"), output=tmp_path / "out", parameters=("epochs=500",))
    assert process.stdout is not None
    next(line for line in process.stdout if "epoch=2" in line)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in err
    assert "Traceback" not in err
    assert left_processes(tmp_path) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (["--data", "nowhere.csv"], (), "data: 'nowhere.csv' does not exist"),
        (["--dta", "x.csv"], (), "unrecognized arguments: --dta x.csv; did you mean --data?; 'python pipeline.py run"),
        ([], ("epohcs=3",), "'epohcs' is not a parameter of the pipeline; did you mean epochs"),
        ([], ("train_epochs=many",), "parameter 'train_epochs' is 'many'; expected a whole number"),
        ([], ("gate_not_worse_than=maybe",), "is 'maybe': input should be 'best', 'popularity' or 'none'"),
        ([], ("epochs",), "expected NAME=VALUE"),
        (["--items", "x.csv"], (), "titles are given without --data"),
    ],
)
def test_bad_requests_are_refused_at_once(
    arguments: list[str], parameters: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["run", f"--output={tmp_path}/out", *arguments, *(f"--param={given}" for given in parameters)])
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_stage_that_refuses_its_input_names_what_is_at_fault(small_data: Path, tmp_path: Path) -> None:
    lines = (small_data / "interactions.csv").read_text().splitlines()
    lines[40] = lines[40].rsplit(",", 2)[0] + ",good,1"
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    earlier = RunFolder.create(tmp_path / "out", {})
    earlier.publish()
    code, out, err = run("--data", str(bad), output=tmp_path / "out", TMPDIR=str(scratch))
    assert code == 2
    assert "stage 'preprocess' failed" in err
    assert "bad.csv" in err
    assert "'good'" in err
    assert "41" in err
    assert "Traceback" not in out + err
    assert (out + err).count("'good'") == 1, "the reason is said once"
    assert (tmp_path / "out").resolve() == earlier.path, "the last good run is as it was"
    (folder,) = [path for path in tmp_path.iterdir() if path.name.startswith("out-") and path != earlier.path]
    assert (folder / "pipeline.yaml").is_file()
    assert not (folder / "summary.json").exists()
    assert not list(scratch.glob("kfp-*")), "the temporary files of KFP are gone"


def test_a_bad_hyperparameter_ends_with_its_name(small_data: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "--data", str(small_data / "interactions.csv"), output=tmp_path / "out", parameters=("dropout=1.5",)
    )
    assert code == 2
    assert "dropout" in err


@pytest.mark.parametrize("arguments", [("--executor", "docker"), ("--executor", "podman")])
def test_without_an_engine_one_line_says_so(
    tmp_path: Path, small_data: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    data = str(small_data / "interactions.csv")
    code, out, err = run("--data", data, *arguments, output=tmp_path / "out", parameters=())
    assert code == 2
    assert "Traceback" not in err
    assert "▶" not in out
    assert "no Docker engine answers" in err or "invalid choice: 'podman'" in err


@pytest.mark.slow
def test_data_in_the_user_s_own_s3_are_copied(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own S3 is the stand-in, which has nothing of theirs."""
    with LocalAws(tmp_path / "theirs", Processes({})) as theirs:
        for name, value in theirs.environment.items():
            monkeypatch.setenv(name, value)
        theirs.create_bucket("shop")
        storage._client.cache_clear()
        upload(small_data, "s3://shop/data")
        code, out, err = run("--data", "s3://shop/data", output=tmp_path / "out")
        assert code == 0, out + err
        assert "Copying s3://shop/data" in out
        code, _, err = run("--data", "s3://shop/nothing", output=tmp_path / "other")
    storage._client.cache_clear()
    assert (code, err) == (2, "ncf: error: s3://shop/nothing: no such object, and no objects under that prefix\n")
