"""The evaluate stage, run as its command is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_stage import make, run_stage, run_undrawn

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.evaluation.evaluation import evaluate


@dataclasses.dataclass(frozen=True)
class Run:
    """A model, the samples of its data, and the outputs of evaluate."""

    model: Path
    samples: Path
    result: dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model that ranks each test item first."""
    folder = tmp_path_factory.mktemp("good")
    model, samples = make(folder)
    return Run(model, samples, run_stage(folder / "out", model, samples, "--min-hr-at-10", "0.9"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model that ranks each test item last."""
    folder = tmp_path_factory.mktemp("bad")
    model, samples = make(folder, good=False)
    return Run(model, samples, run_undrawn(folder / "out", model, samples, "--min-hr-at-10", "0.5"))


def test_a_good_model_opens_the_gate(good: Run) -> None:
    result = good.result
    assert (result["passed"], result["metrics"]["gate_passed"]) == ("true", 1)
    metrics = result["metrics"]
    assert metrics["hr_at_1"] == metrics["hr_at_10"] == metrics["ndcg_at_10"] == metrics["mrr"] == 1
    assert metrics["full_hr_at_10"] == 1
    assert metrics["popularity_hr_at_10"] < 0.9
    assert metrics["hr_at_10_low"] <= 1 <= metrics["hr_at_10_high"]
    assert "passed" in result["summary"]
    assert all(np.isfinite(value) for name, value in metrics.items() if name != "details")


def test_a_bad_model_closes_it_without_an_error(bad: Run) -> None:
    result = bad.result
    assert (result["passed"], result["metrics"]["gate_passed"]) == ("false", 0)
    assert result["metrics"]["hr_at_10"] == 0
    assert "closed" in result["summary"]
    assert "The gate is closed" in result["report"]


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ([], "false"),
        (["--not-worse-than", "popularity"], "true"),  # it ranks hardly any of these test items among its first ten
        (["--not-worse-than", "none"], "true"),
        (["--not-worse-than", "none", "--min-hr-at-10", "0.01"], "false"),
    ],
)
def test_each_condition_of_the_gate(arguments: list[str], passed: str, tmp_path: Path) -> None:
    result = run_undrawn(tmp_path / "out", *make(tmp_path, good=False), *arguments)
    assert result["passed"] == passed
    assert result["summary"].startswith(f"**Gate {'passed' if passed == 'true' else 'closed'}: ")


def test_the_report_is_self_contained_and_escaped(good: Run) -> None:
    report = good.result["report"]
    assert report.count("<svg") == 13
    assert "<script" not in report
    assert "var(--figure-model" in report, "colours follow the page's scheme"
    for words in (
        "HR@10",
        "popularity",
        "item-kNN",
        "EASE",
        "Whole catalogue",
        "Among 99 drawn items",
        "diversity",
        "novelty",
        "Popularity of recommended items",
        "Recommendations of the most popular items",
        "is set.",
        "Training loss",
        "best epoch: 2",
        "by the user",
        "by the item",
    ):
        assert words in report
    assert not re.findall(r'(?:src|href)="(?!#)', report)


def charts_of(report: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", report, re.DOTALL)


def test_no_chart_stands_twice(good: Run) -> None:
    """With one test item a user Recall@K is HR@K: one of them is shown."""
    report = good.result["report"]
    assert "Each user has one test item, so Recall@K equals HR@K." in report
    assert "<td>Recall@10</td>" not in report
    # matplotlib's element IDs and the title differ, the marks must too
    drawn = [re.sub(r'<text.*?</text>|id="[^"]*"|#\w+', "", chart, flags=re.DOTALL) for chart in charts_of(report)]
    assert len(set(drawn)) == len(drawn)


def test_a_ranker_has_one_colour_in_all_charts(good: Run) -> None:
    report = good.result["report"]
    by_title = {re.findall(r"<text[^>]*>([^<]+)</text>", chart)[-1]: chart for chart in charts_of(report)}
    assert by_title
    for title, chart in by_title.items():
        labels = re.findall(r"<text[^>]*>(?:over )?([^<]+)</text>", chart)
        for label, name in (("EASE", "other-1"), ("item-kNN", "other-2"), ("popularity", "other-3")):
            assert (f"--figure-{name}," in chart) is (label in labels), (title, label)


def test_it_says_which_run_made_the_model_of_what(good: Run, tmp_path: Path) -> None:
    assert "Training job" not in good.result["report"], "the manifest does not say"
    model, samples = make(tmp_path)
    content = json.loads((model / manifest.FILE_NAME).read_text())
    content["source"] = {
        "run": "run-<7>", "training_job": "ncf-1234", "image": "host/ncf-train:abc", "version": "1.2",
        "dataset": {
            "files": ["ratings.csv", "movies.csv"],
            "counts": {"train": 1000, "validation": 40},
            "parameters": {"split": "leave_one_out", "min_rating": 3.5, "user_column": "uid"},
        },
    }  # fmt: skip
    (model / manifest.FILE_NAME).write_text(json.dumps(content))
    report = run_undrawn(tmp_path / "out", model, samples)["report"]
    for words in (
        "run-&lt;7&gt;",
        "ncf-1234",
        "host/ncf-train:abc",
        "ncf 1.2",
        "ratings.csv, movies.csv",
        "1,000 training, 40 validation, 40 test",
        "split leave_one_out, min_rating 3.5",
    ):
        assert f"<td>{words}</td>" in report or words in report.split("<section")[0], words
    assert "Width of the GMF embeddings" in report
    assert "Minimum HR@10 among the drawn items for the gate; 0: no minimum" in report


def test_recommendations_are_shown_by_title(good: Run) -> None:
    report = good.result["report"]
    model, test = ModelFolder.load(good.model), Samples.load(good.samples).test
    shown = re.findall(r"<caption>User (u\d+): 4 interactions; test item: ([^<]+)</caption>(.*?)</table>", report, re.S)
    assert len(shown) == 4
    for user, item, table in shown:
        index = list(model.user_ids).index(user)
        (wanted,) = test[test[:, 0] == index, 1]
        assert item == f"Title {wanted}"
        history, recommended = zip(*re.findall(r"<td>(.*?)</td><td>(.*?)</td>", table), strict=True)
        assert recommended[0] == f"Title {wanted} ✓", "the good model ranks the test item first"
        titles = {f"Title {item}" if item else "i0" for item in model.train.of_user(index)}
        assert set(history[:4]) == titles
        assert not titles & set(recommended)


def test_the_summary_begins_with_the_verdict(good: Run, bad: Run) -> None:
    first = good.result["summary"].splitlines()[0]
    assert first == "**Gate passed: the model meets all 2 conditions**"
    start = "**Gate closed: HR@10 among 99 drawn items is 0.0000; at least 0.5 is asked for (min_hr_at_10)"
    assert bad.result["summary"].startswith(start)


def test_baselines_that_are_better_are_named_at_the_top(good: Run, bad: Run) -> None:
    """The bad model ranks each test item last: each baseline is better over the catalogue."""
    result = bad.result
    metrics = result["metrics"]
    values = {name: metrics[f"{name}full_ndcg_at_10"] for name in ("", "ease_", "item_knn_", "popularity_")}
    assert max(values["ease_"], values["item_knn_"]) > values[""]
    (sentence,) = re.findall(r"! (.* on the whole catalogue: .*\.)</p>", result["report"])
    assert f"against {values['']:.4f}" in sentence
    for name, label in (("ease_", "EASE"), ("item_knn_", "item-kNN"), ("popularity_", "opularity")):
        assert (label in sentence) is (values[name] > 0)
        assert f"{values[name]:.4f}" in sentence or values[name] == 0
    assert result["report"].index(sentence) < result["report"].index("Key figures")
    assert f"- ⚠️ {sentence}" in result["summary"]
    assert "better" not in good.result["report"].split("Key figures")[0]
    assert "⚠️" not in good.result["summary"]


def test_same_input_same_bytes(good: Run, tmp_path: Path) -> None:
    assert run_stage(tmp_path / "two", good.model, good.samples, "--min-hr-at-10", "0.9") == good.result


def test_the_positive_among_its_own_candidates_is_masked(tmp_path: Path) -> None:
    model_folder, samples_folder = make(tmp_path)
    model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
    candidates = samples.test_candidates.copy()
    candidates[:, 3] = samples.test[:, 1]
    result = evaluate(model, dataclasses.replace(samples, test_candidates=candidates), 10, 0)
    assert (result.ranks["model"] == 1).all()


def test_full_catalogue_never_masks_the_positive_and_always_what_was_fitted(tmp_path: Path) -> None:
    model_folder, samples_folder = make(tmp_path)
    model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
    weights = dict(model.weights)
    weights["item_gmf.weight"] = np.array(weights["item_gmf.weight"])
    for user in range(40):  # everything fitted scores far above the positive
        weights["item_gmf.weight"][model.train.of_user(user), user] = 50
    loud = dataclasses.replace(model, weights=weights)
    assert (evaluate(loud, samples, 100, 0).catalogues["model"].ranked.ranks == 1).all()


def test_samples_of_other_data_are_refused(tmp_path: Path) -> None:
    model, _ = make(tmp_path / "a")
    _, samples = make(tmp_path / "b")
    content = json.loads((samples / manifest.FILE_NAME).read_text())
    content["counts"]["items"] = 151
    (samples / manifest.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="expected the samples of the model's data set"):
        run_undrawn(tmp_path / "out", model, samples)
    assert not (tmp_path / "out").exists()


def test_samples_of_another_data_set_of_the_same_size_are_refused(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    for folder, fingerprint in ((model, "one"), (samples, "other")):
        content = json.loads((folder / manifest.FILE_NAME).read_text())
        content["source"] = {"fingerprint": fingerprint}
        (folder / manifest.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="fitted on data set one, but .* drawn for other"):
        run_undrawn(tmp_path / "out", model, samples)


def test_a_model_with_wrong_shapes_is_refused(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "n_items": 149}))
    loaded = json.loads((model / manifest.FILE_NAME).read_text())
    manifest.write(model, "model", loaded["counts"], {}, {})
    with pytest.raises(InputError, match="item_gmf.weight"):
        run_undrawn(tmp_path / "out", model, samples)
    assert not (tmp_path / "out").exists()
