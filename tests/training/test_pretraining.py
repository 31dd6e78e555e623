"""A NeuMF that starts from a trained GMF and MLP, and a model that starts from an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ncf.artifacts.model_folder import ModelConfig, ModelFolder
from ncf.errors import InputError
from ncf.models.networks import Network
from ncf.stage.execution import run
from ncf.training.checkpoint import Checkpoint, Checkpoints
from ncf.training.fit import Fit
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.init_weights import fused, warm_started

from .conftest import Folders
from .test_fit import arguments

PRETRAINED = ["--pretrain", "true", "--pretrain-overrides", '{"gmf": {"epochs": 6}, "mlp": {"epochs": 4, "l2": 0.1}}']


def _network(config: ModelConfig, weights: dict[str, torch.Tensor]) -> Network:
    network = Network(config, config.n_users)
    network.load_state_dict(weights)
    return network


@pytest.mark.parametrize("alpha", [0, 0.5, 0.75])
def test_joined_parts_give_the_weighted_mean_of_their_logits(alpha: float) -> None:
    sizes = {"factors": 3, "tower": [8, 4], "n_users": 5, "n_items": 7}
    torch.manual_seed(1)
    configs = {name: ModelConfig(model=name, **sizes) for name in ("gmf", "mlp", "neumf")}  # type: ignore[arg-type]
    parts = {
        name: {key: torch.randn(shape) for key, shape in configs[name].weight_shapes().items()}
        for name in ("gmf", "mlp")
    }
    users, items = torch.arange(5), torch.arange(7).expand(5, 7)
    logits = {name: _network(configs[name], weights)(users, items) for name, weights in parts.items()}
    both = _network(configs["neumf"], fused(parts["gmf"], parts["mlp"], alpha))(users, items)
    torch.testing.assert_close(both, alpha * logits["gmf"] + (1 - alpha) * logits["mlp"])


def test_pretraining_is_one_fit_with_a_history_of_all_parts(folders: Folders, tmp_path: Path) -> None:
    run(Fit, arguments(folders, tmp_path, *PRETRAINED))
    model = ModelFolder.load(tmp_path / "model")
    assert model.config.model == "neumf"
    assert {name: len(fits["final"]) for name, fits in model.history["parts"].items()} == {"gmf": 6, "mlp": 4}
    first_of_parts = min(fits["selection"][0]["ndcg_at_10"] for fits in model.history["parts"].values())
    assert model.history["selection"][0]["ndcg_at_10"] > first_of_parts, "it does not start from nothing"
    assert json.loads((tmp_path / "metrics.json").read_text())["validation_hr_at_10"] > 0.5


@pytest.mark.parametrize("stop_after", [2, 8, 25])
def test_a_pretraining_that_is_stopped_goes_on_to_the_same_model(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """In the middle of a part, of its final fit, and of the joint model."""
    quick = [*PRETRAINED, "--epochs", "8", "--checkpoints"]
    run(Fit, arguments(folders, tmp_path / "whole", *quick, str(tmp_path / "checkpoints_1")))

    class StoppedError(Exception):
        """As if the machine had gone."""

    written = 0
    write = Checkpoints.write

    def count(self: Checkpoints, checkpoint: Checkpoint) -> None:
        nonlocal written
        write(self, checkpoint)
        written += 1
        if written == stop_after:
            raise StoppedError

    again = arguments(folders, tmp_path / "resumed", *quick, str(tmp_path / "checkpoints_2"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", count)
        with pytest.raises(StoppedError):
            run(Fit, again)
    run(Fit, again)
    whole, resumed = (ModelFolder.load(tmp_path / name / "model") for name in ("whole", "resumed"))
    assert whole.hosted_weights is not None
    assert resumed.hosted_weights is not None
    for name in whole.weights:
        np.testing.assert_array_equal(whole.weights[name], resumed.weights[name])
        np.testing.assert_array_equal(whole.hosted_weights[name], resumed.hosted_weights[name])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "gmf", "pretrain": True}, "'pretrain' is true, but 'model' is 'gmf'"),
        ({"pretrain_overrides": {"knn": {}}}, "has 'knn'; expected gmf and mlp"),
        ({"pretrain_overrides": {"gmf": {"factors": 3}}}, "sets factors of gmf; expected some of batch_size"),
        ({"pretrain_overrides": {"mlp": {"learning_rate": 7}}}, "less than or equal to 1"),
    ],
)
def test_settings_of_parts_that_cannot_be(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Hyperparameters(**given)  # type: ignore[arg-type]


def test_a_warm_start_keeps_what_is_known_and_grows(folders: Folders) -> None:
    dataset, _ = folders.load()
    rng = np.random.default_rng(1)
    config = ModelConfig(model="neumf", factors=4, tower=[8, 4], n_users=3, n_items=2)
    earlier_users, earlier_items = [dataset.user_ids[5], "gone", dataset.user_ids[0]], [dataset.item_ids[7], "old"]
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in config.weight_shapes().items()}
    earlier = _Earlier(config, weights, earlier_users, earlier_items)
    today = ModelConfig(model="neumf", factors=4, tower=[8, 4], n_users=dataset.n_users, n_items=dataset.n_items)
    popularity = np.bincount(dataset.train.items, minlength=dataset.n_items)
    found = warm_started(earlier, today, dataset.user_ids, dataset.item_ids, popularity, 1, 0.05)  # type: ignore[arg-type]
    assert {name: tuple(weight.shape) for name, weight in found.items()} == today.weight_shapes()
    for table in ("user_gmf.weight", "user_mlp.weight"):
        np.testing.assert_array_equal(found[table][5], weights[table][0])
        np.testing.assert_array_equal(found[table][0], weights[table][2])
        assert 0.03 < float(found[table][6:].std()) < 0.07, "new rows are drawn"
    np.testing.assert_array_equal(found["item_gmf.weight"][7], weights["item_gmf.weight"][0])
    np.testing.assert_array_equal(found["tower.0.weight"], weights["tower.0.weight"])


@pytest.mark.parametrize("history", [0, 6])
def test_a_warm_start_of_a_history_model_keeps_items_and_new_ones_are_as_popular_as_they_are(
    folders: Folders, history: int
) -> None:
    dataset, _ = folders.load()
    rng = np.random.default_rng(1)
    sizes = {"model": "history", "factors": 4, "tower": [], "history": history}
    config = ModelConfig(n_users=3, n_items=2, **sizes)  # type: ignore[arg-type]
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in config.weight_shapes().items()}
    earlier = _Earlier(config, weights, ["gone"] * 3, [dataset.item_ids[7], "old"])
    today = ModelConfig(n_users=dataset.n_users, n_items=dataset.n_items, **sizes)  # type: ignore[arg-type]
    popularity = np.arange(dataset.n_items)
    users, items = dataset.user_ids, dataset.item_ids
    found = warm_started(earlier, today, users, items, popularity, 1, 0.05)  # type: ignore[arg-type]
    assert {name: tuple(weight.shape) for name, weight in found.items()} == today.weight_shapes()
    for name in weights:
        if name.startswith("item"):
            np.testing.assert_array_equal(found[name][7], weights[name][0])
        else:
            np.testing.assert_array_equal(found[name], weights[name])
    assert bool((found["item_bias.weight"][8:].diff(dim=0) > 0).all())
    other = today.model_copy(update={"history": 5})
    with pytest.raises(InputError, match=f"'history' is 5, the earlier model's is {history}"):
        warm_started(earlier, other, users, items, popularity, 1, 0.05)  # type: ignore[arg-type]


class _Earlier:
    """What of a model folder a warm start reads."""

    def __init__(
        self, config: ModelConfig, weights: dict[str, np.ndarray], user_ids: list[str], item_ids: list[str]
    ) -> None:
        self.config, self.weights, self.evaluated_ids = config, weights, (user_ids, item_ids)


@pytest.mark.parametrize("name", ["neumf", "history"])
def test_a_warm_start_is_ahead_from_its_first_epoch(folders: Folders, tmp_path: Path, name: str) -> None:
    chosen = ["--model", name, "--batch-size", "500" if name == "neumf" else "100"]
    run(Fit, arguments(folders, tmp_path / "cold", *chosen))
    earlier = ["--warm-start", str(tmp_path / "cold" / "model")]
    warm = [*chosen, *earlier, "--epochs", "1", "--learning-rate", "0.001"]
    run(Fit, arguments(folders, tmp_path / "warm", *warm))
    cold, warmed = (ModelFolder.load(tmp_path / name / "model").history["selection"] for name in ("cold", "warm"))
    assert warmed[0]["ndcg_at_10"] > cold[0]["ndcg_at_10"]


def test_a_warm_start_from_another_architecture_is_refused(folders: Folders, tmp_path: Path) -> None:
    run(Fit, arguments(folders, tmp_path / "cold", "--epochs", "1"))
    earlier = ["--warm-start", str(tmp_path / "cold" / "model")]
    for more, said in (
        (["--factors", "4"], "'factors' is 4, the earlier model's is 8"),
        (["--model", "gmf"], "'model' is gmf, the earlier model's is neumf"),
        (["--pretrain", "true"], "'warm_start' and 'pretrain' are both set"),
    ):
        with pytest.raises(InputError, match=said):
            run(Fit, arguments(folders, tmp_path / "warm", *more, *earlier))
        assert not (tmp_path / "warm").exists() or not any((tmp_path / "warm").iterdir())
