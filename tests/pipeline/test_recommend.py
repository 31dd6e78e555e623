"""The second pipeline on this machine: ``python pipeline.py recommend``, as a user starts it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from random_model import random_model
from rich.console import Console
from warm_python import shared_python

import pipeline
from components.local import recommend
from components.local.process_runner import TaskRun
from components.local.run_folder import RunFolder
from ncf.artifacts import manifest
from ncf.stages.recommend import KIND

ROOT = Path(pipeline.__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    random_model().save(folder, {}, {})
    return folder


def run(*arguments: Any) -> tuple[int, str, str]:
    command = [str(shared_python()), "pipeline.py", "recommend", *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


def test_a_run_leaves_recommendations_metrics_and_summary(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for users, expected in (("", 12), ("u3\nnobody\n", 2)):
        (tmp_path / "users").write_text(users)
        flags = [f"--users={tmp_path}/users"] if users else []
        code, out, err = run(f"--model={model}", f"--output={output}", "--param=top_k=4", *flags)
        assert code == 0, err
        assert f"users {expected}, rows {4 * expected}" in " ".join(out.split())
        assert f"{output.resolve()}/recommendations/parts" in out
        assert f"{output.resolve()}, and {output} is a link to it" in out
        manifest.read(output / "recommendations", KIND)
        assert pq.read_table(output / "recommendations" / "parts").num_rows == 4 * expected
        assert json.loads((output / "metrics.json").read_text())["users"] == expected
        assert f" recommendations for {expected} users by model" in (output / "summary.md").read_text()


def test_old_results_stay_until_the_new_ones_are_complete(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    earlier = RunFolder.create(output, {})
    earlier.publish()
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "config.json").write_text("{}")
    assert run(f"--model={broken}", f"--output={output}")[0] == 2
    assert output.resolve() == earlier.path, "the stage failed"

    def incomplete(package: Path, arguments: Any, recorder: Any) -> None:
        folder = tmp_path / "of the stage"
        (folder / "recommendations").mkdir(parents=True)
        (folder / "metrics").write_text("{}")
        outputs = {name: {"uri": str(folder / name)} for name in ("recommendations", "metrics", "summary")}
        recorder.tasks["recommend"] = TaskRun("recommend", outputs)

    monkeypatch.setattr(recommend, "call", incomplete)
    with pytest.raises(FileNotFoundError):
        recommend.run(
            pipeline.recommend_pipeline, recommend.RecommendRequest(str(model), "", output, {}), Console(quiet=True)
        )
    assert output.resolve() == earlier.path, "not all that the stage has to leave was there"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "model: none is given"),
        (["--model=/nowhere"], "model: '/nowhere' does not exist"),
        (["--model={model}", "--users=/nowhere"], "users: '/nowhere' does not exist"),
        (["--model={model}", "--param=top_k=0"], "parameter 'top_k' is 0"),
        (["--model={model}", "--param=topk=1"], "did you mean top_k"),
        (["--model={model}", "--param=epochs=1"], "'epochs' is not a parameter of the pipeline"),
        (["--model={model}", "--param=model_uri=x"], "parameter 'model_uri' is given here as --model"),
        (["--model={model}/.."], "stage 'recommend' failed"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: list[str], said: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [flag.format(model=model) for flag in flags]
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["recommend", *given, f"--output={tmp_path}/out"])
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_submitting_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["submit", "--host=http://localhost:1", "--pipeline=recommend"])
    assert "no default: model_uri" in capsys.readouterr().err
