"""The evaluate stage, run as its command is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from evaluate_stage import make, run_stage

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.evaluation.evaluation import evaluate


def test_a_good_model_opens_the_gate(tmp_path: Path) -> None:
    result = run_stage(tmp_path / "out", *make(tmp_path), "--min-hr-at-10", "0.9")
    assert (result["passed"], result["metrics"]["gate_passed"]) == ("true", 1)
    metrics = result["metrics"]
    assert metrics["hr_at_1"] == metrics["hr_at_10"] == metrics["ndcg_at_10"] == metrics["mrr"] == 1
    assert metrics["full_hr_at_10"] == 1
    assert metrics["popularity_hr_at_10"] < 0.9
    assert metrics["hr_at_10_low"] <= 1 <= metrics["hr_at_10_high"]
    assert "passed" in result["summary"]
    assert all(np.isfinite(value) for name, value in metrics.items() if name != "details")


def test_a_bad_model_closes_it_without_an_error(tmp_path: Path) -> None:
    result = run_stage(tmp_path / "out", *make(tmp_path, good=False), "--min-hr-at-10", "0.5")
    assert (result["passed"], result["metrics"]["gate_passed"]) == ("false", 0)
    assert result["metrics"]["hr_at_10"] == 0
    assert "closed" in result["summary"]
    assert "The gate is closed" in result["report"]


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ([], "true"),  # popularity ranks none of these test items among its first ten either
        (["--not-worse-than-popularity", "false"], "true"),
        (["--not-worse-than-popularity", "false", "--min-hr-at-10", "0.01"], "false"),
    ],
)
def test_each_condition_of_the_gate(arguments: list[str], passed: str, tmp_path: Path) -> None:
    assert run_stage(tmp_path / "out", *make(tmp_path, good=False), *arguments)["passed"] == passed


def test_the_report_is_self_contained_and_escaped(tmp_path: Path) -> None:
    result = run_stage(tmp_path / "out", *make(tmp_path))
    report = result["report"]
    assert report.count("<svg") >= 16
    assert "<script" not in report
    assert "var(--figure-accent" in report, "colours follow the page's scheme"
    for words in (
        "HR@10",
        "popularity",
        "item-kNN",
        "EASE",
        "On the full catalogue",
        "How popular recommended items are",
        "Who gets the recommendations",
        "No champion was given",
        "Training loss",
        "best epoch: 2",
        "By the user",
        "By the item",
    ):
        assert words in report
    assert not re.findall(r'(?:src|href)="(?!#)', report)


def test_baselines_that_are_better_stand_on_top(tmp_path: Path) -> None:
    """The bad model ranks each test item last: whatever ranks by the training data is better over the catalogue."""
    result = run_stage(tmp_path / "out", *make(tmp_path, good=False), "--not-worse-than-popularity", "false")
    metrics = result["metrics"]
    values = {name: metrics[f"{name}full_ndcg_at_10"] for name in ("", "ease_", "item_knn_", "popularity_")}
    assert max(values["ease_"], values["item_knn_"]) > values[""]
    (sentence,) = re.findall(r"! (.* over the full catalogue: .*\.)</p>", result["report"])
    assert f"against {values['']:.4f}" in sentence
    for name, label in (("ease_", "EASE"), ("item_knn_", "item-kNN"), ("popularity_", "opularity")):
        assert (label in sentence) is (values[name] > 0)
        assert f"{values[name]:.4f}" in sentence or values[name] == 0
    assert result["report"].index(sentence) < result["report"].index("On test items that the model has not seen")
    assert f"- ⚠️ {sentence}" in result["summary"]
    good = run_stage(tmp_path / "good", *make(tmp_path / "other"))
    assert "better" not in good["report"].split("Beside the baselines")[0]
    assert "⚠️" not in good["summary"]


def test_same_input_same_bytes(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    assert run_stage(tmp_path / "one", model, samples) == run_stage(tmp_path / "two", model, samples)


def test_the_positive_among_its_own_candidates_is_masked(tmp_path: Path) -> None:
    model_folder, samples_folder = make(tmp_path)
    model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
    candidates = samples.test_candidates.copy()
    candidates[:, 3] = samples.test[:, 1]
    result = evaluate(model, dataclasses.replace(samples, test_candidates=candidates), 10, 0)
    assert (result.places["model"] == 1).all()


def test_full_catalogue_never_masks_the_positive_and_always_what_was_fitted(tmp_path: Path) -> None:
    model_folder, samples_folder = make(tmp_path)
    model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
    weights = dict(model.weights)
    weights["item_gmf.weight"] = np.array(weights["item_gmf.weight"])
    for user in range(40):  # everything fitted scores far above the positive
        weights["item_gmf.weight"][model.train.of_user(user), user] = 50
    loud = dataclasses.replace(model, weights=weights)
    assert (evaluate(loud, samples, 100, 0).catalogues["model"].ranked.places == 1).all()


def test_samples_of_other_data_are_refused(tmp_path: Path) -> None:
    model, _ = make(tmp_path / "a")
    _, samples = make(tmp_path / "b")
    content = json.loads((samples / manifest.FILE_NAME).read_text())
    content["counts"]["items"] = 151
    (samples / manifest.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="made from another data set than the model"):
        run_stage(tmp_path / "out", model, samples)
    assert not (tmp_path / "out").exists()


def test_samples_of_another_data_set_of_the_same_size_are_refused(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    for folder, fingerprint in ((model, "one"), (samples, "other")):
        content = json.loads((folder / manifest.FILE_NAME).read_text())
        content["source"] = {"fingerprint": fingerprint}
        (folder / manifest.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="fitted on data set one, but .* drawn for other"):
        run_stage(tmp_path / "out", model, samples)


def test_a_model_with_wrong_shapes_is_refused(tmp_path: Path) -> None:
    model, samples = make(tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "n_items": 149}))
    loaded = json.loads((model / manifest.FILE_NAME).read_text())
    manifest.write(model, "model", loaded["counts"], {}, {})
    with pytest.raises(InputError, match="item_gmf.weight"):
        run_stage(tmp_path / "out", model, samples)
    assert not (tmp_path / "out").exists()
