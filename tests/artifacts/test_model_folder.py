from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from random_model import random_model

from ncf.artifacts.model_folder import ModelConfig, ModelFolder
from ncf.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model().save(tmp_path / "model", {"epochs": 2}, {"fingerprint": "abc"})
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf", "history"])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, name):
    model = random_model(name)
    model.save(tmp_path / "model", {"epochs": 2}, {"fingerprint": "abc"})
    loaded = ModelFolder.load(tmp_path / "model")
    assert loaded.config == model.config
    assert loaded.weights.keys() == model.weights.keys() == model.config.weight_shapes().keys()
    for weight, array in model.weights.items():
        np.testing.assert_array_equal(loaded.weights[weight], array)
        assert not loaded.weights[weight].flags.writeable
    for strings in ("user_ids", "item_ids", "item_titles"):
        assert list(getattr(loaded, strings)) == list(getattr(model, strings))
    for pairs in ("train", "seen"):
        np.testing.assert_array_equal(getattr(loaded, pairs).offsets, getattr(model, pairs).offsets)
        np.testing.assert_array_equal(getattr(loaded, pairs).items, getattr(model, pairs).items)
    np.testing.assert_array_equal(loaded.popularity, model.popularity)
    assert loaded.history == model.history
    assert loaded.golden == model.golden
    content = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert content["counts"]["weights"] == sum(array.size for array in model.weights.values())
    assert content["parameters"] == {"epochs": 2}


@pytest.mark.parametrize("name", ["neumf", "history"])
def test_what_is_hosted_is_kept_beside_what_was_evaluated(tmp_path: Path, name):
    model = replace(random_model(name), hosted_weights=random_model(name, seed=1).weights)
    model.save(tmp_path / "model", {}, {})
    loaded = ModelFolder.load(tmp_path / "model")
    assert loaded.hosted_weights is not None
    hosted = loaded.hosted()
    for weight, array in model.weights.items():
        np.testing.assert_array_equal(loaded.weights[weight], array)
        np.testing.assert_array_equal(loaded.hosted_weights[weight], model.hosted_weights[weight])
        np.testing.assert_array_equal(hosted.weights[weight], model.hosted_weights[weight])
    assert hosted.train is loaded.seen
    assert hosted.popularity.tolist() == np.bincount(model.seen.items, minlength=40).tolist()
    assert hosted.version == loaded.version
    assert hosted.hosted_weights is None
    again = hosted.hosted()
    assert (again.weights, again.train) == (hosted.weights, hosted.train)
    random_model(name).save(tmp_path / "other", {}, {})
    assert ModelFolder.load(tmp_path / "other").version != loaded.version


def test_a_model_without_other_weights_is_hosted_as_it_is_but_users_are_all_their_items():
    model, history = random_model("neumf"), random_model("history")
    assert model.hosted() is model
    assert history.hosted().weights is history.weights
    assert history.hosted().train is history.seen


def test_titles_are_optional_and_positives_may_be_none(tmp_path: Path):
    model = random_model(titles=False)
    nobody = replace(model.train, offsets=np.zeros(13, np.int64), items=np.empty(0, np.int32))
    replace(model, train=nobody).save(tmp_path / "model", {}, {})
    loaded = ModelFolder.load(tmp_path / "model")
    assert loaded.item_titles is None
    assert len(loaded.train.items) == 0


def test_the_version_tells_models_apart_and_is_repeatable(tmp_path: Path):
    versions = []
    for number, seed in enumerate((0, 0, 1)):
        random_model(seed=seed).save(tmp_path / str(number), {}, {})
        versions.append(ModelFolder.load(tmp_path / str(number)).version)
    assert len(versions[0]) == 12
    assert versions[0] == versions[1] != versions[2]


def test_other_users_can_read_every_file(folder: Path):
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tower": [16]}, "two or more"),
        ({"tower": [15, 8]}, "even"),
        ({"tower": [16, 0]}, "tower"),
        ({"factors": 0}, "factors"),
        ({"n_items": 0}, "n_items"),
        ({"model": "svd"}, "model"),
        ({"layers": 3}, "layers"),
        ({"model": "history", "history": -1}, "history"),
        ({"model": "history", "history": 201}, "history"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(change, message):
    values = {"model": "neumf", "factors": 4, "tower": [16, 8], "n_users": 3, "n_items": 3}
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**(values | change))


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path):
    model = random_model()
    weights = dict(model.weights) | {"output.bias": np.array([np.nan], np.float32)}
    with pytest.raises(InputError, match="not finite"):
        replace(model, weights=weights).save(tmp_path / "model", {}, {})
    assert not (tmp_path / "model").exists()
