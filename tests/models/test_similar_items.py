from __future__ import annotations

import numpy as np
import pytest
from random_model import random_model

from ncf.models.similar_items import SimilarItems

MODELS = ("gmf", "mlp", "neumf", "history")


@pytest.mark.parametrize("name", MODELS)
def test_an_item_that_the_network_takes_as_another_has_cosine_1(name):
    model = random_model(name)
    weights = dict(model.weights)
    for table in weights.keys() & {"item_gmf.weight", "item_mlp.weight"}:
        weights[table] = weights[table].copy()
        weights[table][7] = weights[table][3]
    cosines = SimilarItems(model.config, weights).cosines(3)
    assert cosines[[3, 7]] == pytest.approx([1, 1], abs=1e-5)
    assert np.delete(cosines, [3, 7]).max() < 0.999
    assert cosines.min() >= -1 - 1e-5


def test_dimensions_that_the_network_does_not_use_do_not_count():
    model = random_model("gmf")
    weights = dict(model.weights)
    weights["output.weight"] = weights["output.weight"].copy()
    weights["output.weight"][0, 0] = 0
    before = SimilarItems(model.config, weights).cosines(3)
    weights["item_gmf.weight"] = weights["item_gmf.weight"].copy()
    weights["item_gmf.weight"][:, 0] = np.arange(40)
    np.testing.assert_allclose(SimilarItems(model.config, weights).cosines(3), before, atol=1e-6)
