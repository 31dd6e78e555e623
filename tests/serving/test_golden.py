"""The server asks itself the golden requests of the model before it takes traffic."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_model import random_model

from ncf.artifacts import manifest
from ncf.artifacts.golden import Golden
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.errors import InputError
from ncf.models.scorer import Scorer
from ncf.serving.golden import check
from ncf.serving.recommender import Recommender
from ncf.serving.serve import _load


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf", "history"])
def test_a_good_model_answers_right(name):
    model = random_model(name)
    assert check(Recommender(model), model.golden) < 1e-5


def test_a_catalogue_smaller_than_k_is_expected_whole():
    model = random_model(n_items=6)
    assert [len(request.items) for request in model.golden.requests] == [6, 6]
    assert check(Recommender(model), model.golden) < 1e-5


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf", "history"])
def test_a_change_of_any_weight_is_noticed(name):
    model = random_model(name)
    for weight in model.weights:
        own = model.weights[weight]
        changed = dict(model.weights) | {weight: own + np.resize(np.float32([0.1, -0.2]), own.shape)}
        with pytest.raises(InputError, match=r"golden\.json: user 'u0'"):
            check(Recommender(replace(model, weights=changed)), model.golden)


@pytest.mark.parametrize("ids", ["user_ids", "item_ids"])
def test_ids_in_another_order_are_noticed(ids):
    model = random_model()
    turned = replace(model, **{ids: Strings.of(reversed(list(getattr(model, ids))))})
    with pytest.raises(InputError, match="expected"):
        check(Recommender(turned), model.golden)


def test_a_scorer_that_scores_otherwise_is_noticed(monkeypatch):
    model = random_model()
    right = Scorer._score
    monkeypatch.setattr(Scorer, "_score", lambda *arguments: right(*arguments) * np.float32(1.01))
    with pytest.raises(InputError, match="score .* expected"):
        check(Recommender(model), model.golden)


def test_a_recommender_that_skips_an_item_is_noticed(monkeypatch):
    model = random_model()
    right = Recommender.recommend
    monkeypatch.setattr(Recommender, "recommend", lambda self, users, k, _: right(self, users, k))
    with pytest.raises(InputError, match="item not found"):
        check(Recommender(model), model.golden)


@pytest.mark.parametrize(
    ("request_change", "message"),
    [
        ({"k": 10**6}, "refuses a golden request: k is 1000000"),
        ({"k": 10**30}, "refuses a golden request: k is 10000"),
        ({"k": 0}, "refuses a golden request: k is 0"),
        ({"k": -1}, "refuses a golden request"),
        ({"k": 11}, "10 items expected, 11 found"),
        ({"k": 9}, "10 items expected, 9 found"),
        ({"users": [""]}, r"refuses a golden request: users\[0\]"),
        ({"users": ["u" * 513]}, r"refuses a golden request: users\[0\]"),
        ({"users": ["nobody"]}, "asked for user 'nobody' by the model"),
        ({"users": ["u1"]}, "user 'u1', item 'i"),
    ],
)
def test_a_request_that_cannot_be_answered_as_expected_fails(request_change, message):
    model = random_model()
    content = model.golden.model_dump(mode="json")
    content["requests"][0]["request"] |= request_change
    with pytest.raises(InputError, match=message):
        check(Recommender(model), Golden.model_validate_json(json.dumps(content)))


def load(folder: Path) -> Future[Recommender]:
    loading: Future[Recommender] = Future()
    _load(str(folder), loading)
    return loading


def test_a_good_model_is_ready_and_the_log_says_how_near(tmp_path: Path, caplog):
    random_model().save(tmp_path / "model", {}, {})
    with caplog.at_level("INFO"):
        assert load(tmp_path / "model").result().version
    assert "2 golden requests answered right; scores differ by" in caplog.text


def sign(folder: Path) -> None:
    """Write the manifest anew, so that checksums are right whatever the files hold."""
    counts = json.loads((folder / manifest.FILE_NAME).read_text())["counts"]
    (folder / manifest.FILE_NAME).unlink()
    manifest.write(folder, "model", counts, {}, {})


def test_other_weights_under_a_right_manifest_are_never_ready(tmp_path: Path):
    folder = tmp_path / "model"
    random_model().save(folder, {}, {})
    golden = (folder / "golden.json").read_bytes()
    random_model(seed=1).save(folder, {}, {})
    (folder / "golden.json").write_bytes(golden)
    sign(folder)
    ModelFolder.load(folder)  # which proves that checksums and shapes pass
    assert isinstance(load(folder).exception(), InputError)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_of_the_file_it_is_refused_or_right(tmp_path: Path, data):
    model = random_model()
    model.save(tmp_path / "model", {}, {})
    path = tmp_path / "model" / "golden.json"
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    sign(tmp_path / "model")
    assert isinstance(load(tmp_path / "model").exception(), (InputError, type(None)))
