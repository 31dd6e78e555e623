"""A model from its folder or archive, checked by its golden answers."""

from __future__ import annotations

import logging

from ncf.artifacts.archive import unpacked
from ncf.artifacts.model_folder import ModelFolder
from ncf.serving.golden import check
from ncf.serving.recommender import Recommender
from ncf.storage import local_copy

_log = logging.getLogger(__name__)


def load(location: str) -> Recommender:
    """Load a model and check its golden answers.

    Mapped files remain readable after a temporary download is deleted.

    Args:
        location: path or S3 URI of the folder or of its archive.

    Raises:
        InputError: naming the file at fault, or the score that differs.
    """
    with local_copy(location) as copy, unpacked(copy) as folder:
        model = ModelFolder.load(folder)
    recommender = Recommender(model)
    difference = check(recommender, model.golden)
    count = len(model.golden.requests)
    _log.info("%d golden requests answered right; scores differ by %.2g at most", count, difference)
    return recommender
