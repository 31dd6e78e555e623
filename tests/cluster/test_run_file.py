"""A run in a file is checked, and started once for a commit."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_kfp import ROLE, FakeKfp, serving

from components.cluster import run_file
from ncf.errors import InputError

Run = Callable[..., tuple[int, str, str]]
CONTENT = f"""pipeline: ncf
experiment: shop
pipeline_root: s3://bucket/root
parameters:
  data_uri: s3://bucket/in/ratings.csv
  train_role: {ROLE}
  deploy_role: {ROLE}
  epochs: 3
  dropout: 0.1
  tower: [64, 32]
  data_event_weights: {{view: 1, purchase: 5}}
  spot_instance: true
  max_wait_time: 7200
  data_since: 2024-01-01
"""
NIGHTLY = f"{CONTENT}schedule:\n  cron: 0 0 3 * * *\n"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    ran = subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def commit(path: Path, text: str) -> str:
    """Commit a file: the commit."""
    path.write_text(text)
    git(path.parent, "add", path.name)
    git(path.parent, "commit", "--quiet", "--allow-empty", "-m", "x")
    return git(path.parent, "rev-parse", "HEAD")[:12]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "fork"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder / "production.yaml"


def test_a_file_is_checked_without_a_cluster(run: Run, file: Path) -> None:
    file.write_text(NIGHTLY)
    code, out, err = run("check", str(file))
    assert (code, err) == (0, "")
    assert out == f"{file}: pipeline ncf, 10 parameters, scheduled: 0 0 3 * * *\n"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("parameters:", "parameter_:", "'parameter_' is not a key; did you mean 'parameters'?"),
        ("experiment: shop", "experiment: 3", "'experiment' is 3: input should be a valid string"),
        ("pipeline: ncf", "pipeline: release_", "'pipeline' is 'release_'; did you mean 'release'?"),
        ("epochs: 3", "epoch: 3", "'epoch' is not a parameter of the pipeline; did you mean epochs?"),
        ("epochs: 3", "epochs: 0", "parameter 'train_epochs' is 0: "),
        ("epochs: 3", "epochs: many", "parameter 'epochs' is 'many'; "),
        ("epochs: 3", "epochs:", "parameter 'epochs' has no value"),
        ("epochs: 3", "epochs: 3\n  epochs: 4", "'epochs' is given twice"),
        ("epochs: 3", "epochs: 3\n  train_epochs: 4", "given twice, also as 'epochs'"),
        ("max_wait_time: 7200", "max_wait_time: 60", "max_wait_time"),
        (f"  train_role: {ROLE}\n", "", "no default: train_role; give each in 'parameters'"),
        ("s3://bucket/in/", "/data/", "which pods cannot read"),
        ("s3://bucket/root", "minio://bucket/root", "pipeline_root: 'minio://bucket/root'"),
        ("parameters:", "schedule: {cron: 0 0 3 * * *, interval: 6h}\nparameters:", "either 'cron' or 'interval'"),
        ("parameters:", "schedule: {cron: 3 * *}\nparameters:", "cron: '3 * *'"),
        ("parameters:", "schedule: {corn: x}\nparameters:", "'schedule.corn' is not a key; did you mean 'cron'?"),
        ("pipeline: ncf", "pipeline: [", "not a file of YAML"),
        ("epochs: 3", "epochs: 2024-02-30", "not a file of YAML: day is out of range for month"),
        ("epochs: 3", "epochs: !!int many", "not a file of YAML: invalid literal"),
        ("epochs: 3", "epochs: !!map [1]", "expected a mapping node, but found sequence"),
        ("epochs: 3", f"epochs: {'[' * 3000}", "not a file of YAML: too many levels"),
        ("epochs: 3", "epochs: &itself [*itself]", "parameter 'epochs' contains itself"),
    ],
)
def test_a_fault_names_the_file_and_what_is_at_fault(run: Run, file: Path, before: str, after: str, words: str) -> None:
    assert before in CONTENT
    file.write_text(CONTENT.replace(before, after))
    code, out, err = run("check", str(file))
    assert (code, out) == (2, "")
    assert f"{file}: " in err
    assert words in err, err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "- a\n", "text"])
def test_a_file_without_keys_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match="expected keys and values"):
        run_file.read(file, ["ncf"])


def test_a_missing_file_is_named(run: Run, file: Path) -> None:
    code, _, err = run("check", str(file))
    assert (code, f"'{file}' does not exist" in err) == (2, True)


def test_a_commit_is_one_run(run: Run, file: Path) -> None:
    """CI repeats a job, or several commits have the same file: the commit counts."""
    first, kfp = commit(file, CONTENT), FakeKfp()
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", "--file", str(file))
        assert (code, out) == (0, "run-1\n")
        assert f"run 'production {first}'" in err
        code, out, err = run("submit", f"--host={host}", "--file", str(file), "--wait")
        assert (code, out) == (0, "run-1\n")
        assert "has started the run" in err
        second = commit(file, CONTENT)
        assert run("submit", f"--host={host}", "--file", str(file))[1] == "run-2\n"
    assert [entry["display_name"] for entry in kfp.runs.values()] == [f"production {first}", f"production {second}"]


def test_a_run_has_the_parameters_of_the_file(run: Run, file: Path) -> None:
    commit(file, CONTENT)
    kfp = FakeKfp()
    with serving(kfp) as host:
        run("submit", f"--host={host}", "--file", str(file))
    sent = kfp.body("POST /runs")
    assert sent["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert kfp.experiments["experiment-1"]["display_name"] == "shop"
    parameters = sent["runtime_config"]["parameters"]
    assert parameters["train_epochs"] == 3
    assert parameters["data_since"] == "2024-01-01"
    assert parameters["data_event_weights"] == {"view": 1, "purchase": 5}
    assert parameters["train_overrides"] == {
        "dropout": 0.1,
        "tower": [64, 32],
        "spot_instance": True,
        "max_wait_time": 7200,
    }


def test_the_namespace_is_that_of_the_file(run: Run, file: Path) -> None:
    commit(file, f"namespace: team\n{CONTENT}")
    kfp = FakeKfp(multi_user=True)
    with serving(kfp) as host:
        assert run("submit", f"--host={host}", "--file", str(file))[0] == 0
    assert kfp.experiments["experiment-1"]["namespace"] == "team"


def test_a_run_that_failed_is_not_started_again(run: Run, file: Path) -> None:
    commit(file, CONTENT)
    kfp = FakeKfp(run=lambda _: {"state": "FAILED"})
    with serving(kfp) as host:
        for _ in range(2):
            assert run("submit", f"--host={host}", "--file", str(file), "--wait")[0] == 1
    assert len(kfp.runs) == 1


@pytest.mark.parametrize("state", ["changed", "untracked", "no repository"])
def test_what_is_not_committed_is_a_run_each_time(run: Run, tmp_path: Path, file: Path, state: str) -> None:
    if state == "changed":
        commit(file, CONTENT)
        file.write_text(f"{CONTENT}  seed: 2\n")
    elif state == "untracked":
        commit(file.with_name("other.yaml"), CONTENT)
        file.write_text(CONTENT)
    else:
        file = tmp_path / "production.yaml"
        file.write_text(CONTENT)
    kfp = FakeKfp()
    with serving(kfp) as host:
        for number in (1, 2):
            assert run("submit", f"--host={host}", "--file", str(file))[1] == f"run-{number}\n"
    assert re.fullmatch(r"production \d{4}-\d\d-\d\d \d\d:\d\d", kfp.runs["run-1"]["display_name"])


@pytest.mark.parametrize("flag", ["--param=epochs=4", "--run-name=x", "--namespace=x", "--pipeline=release"])
def test_the_file_alone_says_what_runs(run: Run, file: Path, flag: str) -> None:
    commit(file, CONTENT)
    code, _, err = run("submit", "--host=http://localhost:1", "--file", str(file), flag)
    name = flag.removeprefix("--").partition("=")[0].replace("-", "_")
    assert (code, f"{name}: expected without --file" in err) == (2, True)


def recurring(kfp: FakeKfp) -> list[tuple[str, Any]]:
    return [(entry["display_name"], entry["trigger"]) for entry in kfp.recurring.values()]


def test_a_schedule_replaces_that_of_the_commit_before(run: Run, file: Path) -> None:
    kfp = FakeKfp()
    kfp.recurring["other"] = {"recurring_run_id": "other", "display_name": "production of others", "trigger": {}}
    with serving(kfp) as host:
        for hour in (3, 4):
            version = commit(file, NIGHTLY.replace("0 0 3", f"0 0 {hour}"))
            for _ in range(2):  # a repeated job changes nothing
                assert run("submit", f"--host={host}", "--file", str(file))[0] == 0
    assert recurring(kfp) == [
        ("production of others", {}),
        (f"production {version}", {"cron_schedule": {"cron": "0 0 4 * * *"}}),
    ]
    assert not kfp.runs


def test_an_interrupted_renewal_is_completed(run: Run, file: Path) -> None:
    version = commit(file, NIGHTLY)
    kfp = FakeKfp()
    for identifier, of in (("old", "0123456789ab"), ("new", version)):
        kfp.recurring[identifier] = {
            "recurring_run_id": identifier,
            "display_name": f"production {of}",
            "trigger": {},
        }
    with serving(kfp) as host:
        code, out, err = run("submit", f"--host={host}", "--file", str(file))
        assert (code, out) == (0, "new\n")
        assert err == f"recurring run 'production {version}': {host}/#/recurringruns\n"
    assert list(kfp.recurring) == ["new"]


def test_a_version_is_uploaded_once(run: Run) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        for _ in range(2):
            code, out, _ = run("upload", f"--host={host}", "--version-name=one", "--once")
            assert (code, out) == (0, "pipeline pipeline-1\nversion version-1\n")
    assert len(kfp.versions) == 1


def test_values_of_yaml_are_texts_of_the_command_line(file: Path) -> None:
    file.write_text('parameters: {a: true, b: "", c: {x: [1, 2]}, d: 1.5, e: 2024-01-01T02:03:04}\n')
    assert run_file.read(file, ["ncf"]).options()["param"] == [
        "a=true",
        "b=",
        f"c={json.dumps({'x': [1, 2]})}",
        "d=1.5",
        "e=2024-01-01T02:03:04",
    ]


def test_parts_of_yaml_may_be_shared(file: Path) -> None:
    file.write_text("parameters: &base {a: 1}\nschedule: {<<: {cron: x}}\n")
    given = run_file.read(file, ["ncf"])
    assert given.schedule is not None
    assert given.schedule.cron == "x"
