"""The recommend stage, run as its command is: the same answers as the endpoint's, as parquet."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from local_account import BUCKET, executor_input, local_account
from random_model import random_model

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.artifacts.strings import Strings
from ncf.batch import tables
from ncf.errors import InputError, RemoteError
from ncf.models import ranker as ranker_module
from ncf.serving.recommender import Recommender
from ncf.stage.execution import run
from ncf.stages import recommend
from ncf.stages.recommend import KIND, Recommend
from ncf.storage import list_objects, upload

N_USERS = 230


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    random_model("neumf", n_users=N_USERS, n_items=60).save(folder, {}, {})
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommend, "_ROWS_A_PART", 500)  # 50 users of ten items


def arguments(model: Path | str, output: Path, *more: str) -> list[str]:
    outputs = {"recommendations": "recommendations", "metrics": "metrics.json", "summary": "summary.md"}
    flags = [f"--{name}={output / file}" for name, file in outputs.items()]
    return [f"--model={model}", *flags, *more]


def rows_of(output: Path) -> list[dict[str, Any]]:
    manifest.read(output / "recommendations", KIND)
    parts = sorted((output / "recommendations" / "parts").glob("*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def as_endpoint(rows: list[dict[str, Any]], with_titles: bool = True) -> list[dict[str, Any]]:
    """Rows as the answers that they stand for."""
    answers: dict[str, dict[str, Any]] = {}
    for row in rows:
        answer = answers.setdefault(row["user"], {"user": row["user"], "source": row["source"], "items": []})
        assert row["rank"] == len(answer["items"]) + 1
        item = {"item": row["item"], "score": round(row["score"], 6)}
        answer["items"].append({**item, "title": row["title"]} if with_titles and row["title"] else item)
    return list(answers.values())


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("retrieving", [False, True])
@pytest.mark.parametrize("name", ["neumf", "history"])
def test_rows_are_the_answers_of_the_endpoint(
    name: ModelName,
    retrieving: bool,
    exclude_seen: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_parts: None,
) -> None:
    if retrieving:
        monkeypatch.setattr(ranker_module, "EXACT_UP_TO", 0)
    folder = tmp_path / "model"
    sizes = {"n_users": N_USERS, "n_items": 3000 if retrieving else 60}
    hosted = random_model(name, **sizes, seed=1).weights  # which answer
    dataclasses.replace(random_model(name, **sizes), hosted_weights=hosted).save(folder, {}, {})
    (tmp_path / "users").write_text("\n".join([*(f"u{number}" for number in range(0, N_USERS, 2)), "nobody"]))
    run(Recommend, arguments(folder, tmp_path, f"--users={tmp_path}/users", f"--exclude-seen={exclude_seen}"))
    recommender = Recommender(ModelFolder.load(folder))
    users = (tmp_path / "users").read_text().split()
    expected = recommender.recommend(users, 10, exclude_seen)
    found = as_endpoint(rows_of(tmp_path))
    assert [answer["user"] for answer in found] == users
    for one, other in zip(found, expected, strict=True):
        assert [item | {"score": 0} for item in one["items"]] == [item | {"score": 0} for item in other["items"]]
        assert one["source"] == other["source"]
        for a, b in zip(one["items"], other["items"], strict=True):
            assert math.isclose(a["score"], b["score"], abs_tol=2e-6)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert ("recall" in metrics) == retrieving
    assert metrics.get("recall", 1) >= 0.97


def test_all_users_in_parts(model: Path, tmp_path: Path, small_parts: None) -> None:
    run(Recommend, arguments(model, tmp_path))
    rows = rows_of(tmp_path)
    assert [row["user"] for row in rows] == [f"u{user}" for user in range(N_USERS) for _ in range(10)]
    names = [path.name for path in sorted((tmp_path / "recommendations" / "parts").iterdir())]
    assert names == [f"part-{number:05d}-of-00005.parquet" for number in range(5)]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    expected = {"users": N_USERS, "rows": len(rows), "popular_share": 0, "users_without_items": 0, "repeated_users": 0}
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["coverage"] == len({row["item"] for row in rows}) / 60
    assert metrics["users_per_second"] > 0
    counts = json.loads((tmp_path / "recommendations" / "manifest.json").read_text())["counts"]
    assert counts == {"users": N_USERS, "rows": len(rows), "parts": 5}
    page = (tmp_path / "summary.md").read_text()
    assert "| users | 230 |" in page
    assert "| `title` | string |" in page
    assert f"| u0 | 1 | {rows[0]['item']} |" in page


def test_what_other_programs_read(model: Path, tmp_path: Path) -> None:
    """A folder of parquet files of one schema, with null, not '', for a title that is not known."""
    run(Recommend, arguments(model, tmp_path, "--top-k=60", "--exclude-seen=false"))
    table = pq.read_table(tmp_path / "recommendations" / "parts")
    assert table.column_names == ["user", "rank", "item", "score", "title", "source"]
    assert table["title"].null_count == N_USERS, "i0 has no title"
    assert {row["item"] for row in table.to_pylist() if row["title"] is None} == {"i0"}
    (part,) = (tmp_path / "recommendations" / "parts").iterdir()
    assert pq.read_schema(part).remove_metadata() == tables.schema(with_titles=True)
    run(Recommend, arguments(model, tmp_path, "--with-titles=false"))
    (part,) = (tmp_path / "recommendations" / "parts").iterdir()
    assert pq.read_schema(part).names == ["user", "rank", "item", "score", "source"]


def test_a_model_without_titles(tmp_path: Path) -> None:
    random_model(titles=False).save(tmp_path / "model", {}, {})
    run(Recommend, arguments(tmp_path / "model", tmp_path))
    assert {row["title"] for row in rows_of(tmp_path)} == {None}


def test_users_with_nothing_left_have_no_rows(tmp_path: Path) -> None:
    random_model(n_items=6, positives=6).save(tmp_path / "model", {}, {})
    run(Recommend, arguments(tmp_path / "model", tmp_path))
    assert rows_of(tmp_path) == []
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["users"], metrics["rows"], metrics["users_without_items"]) == (12, 0, 12)


def test_a_list_without_a_user_of_the_model_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("x\ny\n")
    with pytest.raises(InputError, match="none of the 2 users is in the model: 'x', 'y'; ids in the model: 'u0'"):
        run(Recommend, arguments(model, tmp_path, f"--users={tmp_path}/users"))
    assert not (tmp_path / "recommendations").exists()


def test_titles_cannot_break_the_summary(tmp_path: Path) -> None:
    model = random_model(n_items=8, positives=1)
    evil = "a | b\n# c <script>alert(1)</script> [x](javascript:y)"
    dataclasses.replace(model, item_titles=Strings.of([evil] * 8)).save(tmp_path / "model", {}, {})
    run(Recommend, arguments(tmp_path / "model", tmp_path))
    page = (tmp_path / "summary.md").read_text()
    assert "<script>" not in page.replace("\\<", "")
    assert r"a \| b \# c \<script\>" in page
    assert rows_of(tmp_path)[0]["title"] == evil


def test_a_model_may_be_an_archive(model: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(model, ".")
    for name, given in (("folder", model), ("archive", tmp_path / "model.tar.gz")):
        run(Recommend, arguments(given, tmp_path / name))
    assert rows_of(tmp_path / "folder") == rows_of(tmp_path / "archive")


class CutOffError(Exception):
    """What a lost machine is in these tests."""


@contextmanager
def cut_off(parts: int) -> Iterator[None]:
    """The block's batch ends after so many parts."""
    original, made = tables.Tables.of, []

    def of(self: Any, *given: Any) -> Any:
        if len(made) == parts:
            raise CutOffError
        made.append(1)
        return original(self, *given)

    with patch.object(tables.Tables, "of", of), pytest.raises(CutOffError):
        yield


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "recommendations").rglob("*") if path.is_file()}


def test_a_batch_that_was_cut_off_goes_on(model: Path, tmp_path: Path, small_parts: None) -> None:
    run(Recommend, arguments(model, tmp_path / "whole"))
    kept = tmp_path / "kept"
    with cut_off(3):
        run(Recommend, arguments(model, tmp_path / "out", f"--checkpoints={kept}"))
    assert not (tmp_path / "out").exists(), "whole or not at all"
    assert len(list(kept.rglob("part-*.parquet"))) == 3
    (damaged,) = kept.rglob("part-00001-*.parquet")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    run(Recommend, arguments(model, tmp_path / "out", f"--checkpoints={kept}"))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["parts_resumed"] == 2, "the damaged one is made again"
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "out")
    assert {name: data for name, data in whole.items() if name != "manifest.json"} == {
        name: data for name, data in resumed.items() if name != "manifest.json"
    }
    without_times = [
        {
            **json.loads((tmp_path / name / "metrics.json").read_text()),
            "seconds": 0,
            "users_per_second": 0,
            "parts_resumed": 0,
        }
        for name in ("whole", "out")
    ]
    assert without_times[0] == without_times[1]
    assert not kept.exists(), "nothing is left of what was kept on this machine"


def test_parts_are_kept_until_kfp_knows_of_the_output(model: Path, tmp_path: Path, small_parts: None) -> None:
    outputs = {name: f"{tmp_path}/uris/{name}" for name in ("recommendations", "metrics", "summary")}
    flags = arguments(model, tmp_path / "out", f"--checkpoints={tmp_path}/kept")
    given = executor_input(Recommend, flags, tmp_path, outputs)
    with patch("ncf.stage.execution.ExecutorInput.write_output", side_effect=CutOffError), pytest.raises(CutOffError):
        run(Recommend, given)
    assert len(list((tmp_path / "kept").rglob("part-*.parquet"))) == 5
    run(Recommend, given)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["parts_resumed"] == 5
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("change", ["--top-k=9", "--exclude-seen=false", "--with-titles=false", "--candidates=100"])
def test_parts_of_another_batch_are_not_taken_up(change: str, model: Path, tmp_path: Path, small_parts: None) -> None:
    kept = f"--checkpoints={tmp_path}/kept"
    with cut_off(2):
        run(Recommend, arguments(model, tmp_path / "out", kept))
    run(Recommend, arguments(model, tmp_path / "out", kept, change))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["parts_resumed"] == 0
    assert len(list((tmp_path / "kept").rglob("*.parquet"))) == 2, "those of the first one are still there"


def test_a_renamed_part_is_not_taken_up(model: Path, tmp_path: Path, small_parts: None) -> None:
    for name, more in (("a", []), ("b", ["--top-k=9"])):
        with cut_off(1):
            run(Recommend, arguments(model, tmp_path / "out", f"--checkpoints={tmp_path}/{name}", *more))
    (own,), (other,) = ((tmp_path / name).rglob("*.parquet") for name in ("a", "b"))
    own.write_bytes(other.read_bytes())
    run(Recommend, arguments(model, tmp_path / "out", f"--checkpoints={tmp_path}/a"))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["parts_resumed"] == 0


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Any]:
    with local_account(tmp_path) as aws:
        yield aws


def test_another_pod_goes_on_from_s3(account: Any, model: Path, tmp_path: Path, small_parts: None) -> None:
    """As on a cluster: model, users and checkpoints in S3, each try with a file system and output URIs of its own."""
    root = f"s3://{BUCKET}/run"
    upload(model, f"{root}/model")
    (tmp_path / "users").write_text("\n".join(f"u{number}" for number in range(200)))
    upload(tmp_path / "users", f"{root}/users.txt")
    given = [f"--users={root}/users.txt", f"--checkpoints={root}/checkpoints"]
    with cut_off(3):
        run(Recommend, arguments(f"{root}/model", tmp_path / "first", *given))
    assert len(list_objects(f"{root}/checkpoints")) == 3
    outputs = {name: f"{root}/second/{name}" for name in ("recommendations", "metrics", "summary")}
    run(
        Recommend, executor_input(Recommend, arguments(f"{root}/model", tmp_path / "second", *given), tmp_path, outputs)
    )
    assert json.loads((tmp_path / "second" / "metrics.json").read_text())["parts_resumed"] == 3
    assert len(rows_of(tmp_path / "second")) == 2000
    assert len(list_objects(f"{root}/checkpoints")) == 4, "the output has yet to be uploaded: a third try needs them"
    artifacts = json.loads((tmp_path / "executor_output.json").read_text())["artifacts"]
    assert artifacts["recommendations"]["artifacts"][0]["metadata"] == {"users": 200, "rows": 2000, "parts": 4}


def test_a_part_that_s3_does_not_take_ends_the_batch(account: Any, model: Path, tmp_path: Path) -> None:
    account.faults.add("refuse", "S3:PUT", error="AccessDenied", times=20)
    with pytest.raises((InputError, RemoteError), match="checkpoints"):
        run(Recommend, arguments(model, tmp_path / "out", f"--checkpoints=s3://{BUCKET}/checkpoints"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--users={tmp}/none"], "none: no such file"),
        (["--users={tmp}/empty"], "empty: has no user"),
        (["--users={tmp}/folder"], "a folder; expected a file of user ids"),
        (["--checkpoints={tmp}/empty"], "parameter 'checkpoints' is .*expected an S3 URI or a folder"),
        (["--top-k=0"], "'top_k' is 0"),
        (["--top-k=1001"], "'top_k' is 1001"),
        (["--model={tmp}/none"], "none: no such folder"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(given: list[str], said: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=said):
        run(Recommend, [*arguments(model, tmp_path / "out"), *(text.format(tmp=tmp_path) for text in given)])
    assert not (tmp_path / "out").exists()


def test_sigterm_leaves_finished_parts_and_no_output(tmp_path: Path) -> None:
    random_model("neumf", n_users=4000, n_items=8000, factors=8, tower=(64, 64, 32)).save(tmp_path / "model", {}, {})
    program = (
        "import sys\nfrom ncf.stages import recommend\nfrom ncf.stage import command\n"
        "recommend._ROWS_A_PART = 1000\ncommand.main(['recommend', *sys.argv[1:]])"
    )
    kept = tmp_path / "kept"
    command_line = [
        sys.executable,
        "-c",
        program,
        *arguments(tmp_path / "model", tmp_path / "out", f"--checkpoints={kept}"),
    ]
    process = subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(kept.rglob("part-*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert not (tmp_path / "out").exists()
    assert all(pq.read_table(part).num_rows == 1000 for part in kept.rglob("part-*.parquet"))


PROGRAM_IN_PARTS = """
import sys, time
from ncf import staged_output
from ncf.stage import command
from ncf.batch import checkpoints, tables
from ncf.stages import recommend
recommend._ROWS_A_PART = 500
after, *given = sys.argv[1:]
made = []
def of(self, users, part, *rest):
    made.append(part.start)
    return original(self, users, part, *rest)
def write(self, *part):
    original_write(self, *part)
    wait_at("part" if len(made) == 3 else "")
def publish(temporary, destination):
    if destination.name == "recommendations":
        wait_at("published")
    original_publish(temporary, destination)
def wait_at(step):
    if step == after:
        print("made", *made, flush=True)
        time.sleep(60)
original, tables.Tables.of = tables.Tables.of, of
original_write, checkpoints.Checkpoints.write = checkpoints.Checkpoints.write, write
original_publish, staged_output.publish = staged_output.publish, publish
try:
    command.main(["recommend", *given])
finally:
    print("made", *made, flush=True)
"""


@pytest.mark.parametrize(("after", "first", "second"), [("part", [0, 50, 100], [150, 200]), ("published", 5, [])])
def test_after_a_sigkill_the_next_try_makes_the_missing_parts_alone(
    after: str, first: list[int] | int, second: list[int], model: Path, tmp_path: Path
) -> None:
    """The real process, killed between two parts, or when all that is left is to move the output to its path."""

    def start(output: Path, after: str = "never") -> subprocess.Popen[str]:
        given = arguments(model, output, f"--checkpoints={tmp_path}/kept")
        command_line = [sys.executable, "-c", PROGRAM_IN_PARTS, after, *given]
        return subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def made(line: str) -> list[int]:
        return [int(word) for word in line.split()[1:]]

    assert made(start(tmp_path / "whole").communicate(timeout=60)[0]) == [0, 50, 100, 150, 200]
    killed = start(tmp_path / "out", after)
    assert killed.stdout is not None
    assert made(killed.stdout.readline()) == (first if isinstance(first, list) else [0, 50, 100, 150, 200])
    killed.kill()
    assert killed.wait(10) == -signal.SIGKILL
    kept = {path.name: path.read_bytes() for path in (tmp_path / "kept").rglob("part-*.parquet")}
    assert len(kept) == 5 - len(second)
    assert not (tmp_path / "out" / "recommendations").exists()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")], "it could not tidy up"
    assert made(start(tmp_path / "out").communicate(timeout=60)[0]) == second
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "out")
    assert kept.items() <= resumed.items(), "taken up as they were"
    assert {**whole, "manifest.json": b""} == {**resumed, "manifest.json": b""}
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["parts_resumed"] == 5 - len(second)
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["metrics.json", "recommendations", "summary.md"], "nothing is left of the one that was killed"
    assert not (tmp_path / "kept").exists()


def test_sigterm_does_not_wait_for_the_part_that_is_being_made(tmp_path: Path) -> None:
    """On Kubernetes a pod has 30 seconds; a part may take minutes."""
    random_model("mlp", n_users=8_000, n_items=10_000, tower=(256, 128, 64)).save(tmp_path / "model", {}, {})
    program = (
        "import sys\nfrom ncf.batch import tables\nfrom ncf.stage import command\noriginal = tables.Tables.of\n"
        "def of(*given):\n    print('ready', flush=True)\n    return original(*given)\n"
        "tables.Tables.of = of\ncommand.main(['recommend', *sys.argv[1:]])"
    )
    command_line = [sys.executable, "-c", program, *arguments(tmp_path / "model", tmp_path / "out")]
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(6) == 143
    assert not (tmp_path / "out").exists()


def test_scores_beyond_a_block_come_in_order(tmp_path: Path) -> None:
    """Several blocks of users on several threads: each user has its own rows, best first."""
    folder = tmp_path / "model"
    random_model("gmf", n_users=500, n_items=30).save(folder, {}, {})
    run(Recommend, arguments(folder, tmp_path))
    scores: dict[str, list[float]] = {}
    for row in rows_of(tmp_path):
        scores.setdefault(row["user"], []).append(row["score"])
    assert list(scores) == [f"u{user}" for user in range(500)]
    assert all((np.diff(values) <= 0).all() and len(values) == 10 for values in scores.values())
