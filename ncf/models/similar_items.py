"""Similar items: cosine similarity of item vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelConfig, Weights

_TINY = float(np.finfo(np.float32).tiny)


class SimilarItems:
    """Cosine similarity of items in the space in which the network combines them with users.

    The vector of an item is, for GMF, its embedding times the output weights, so that the inner product with a user
    embedding is the GMF part of the logit (He et al. 2017, equation 9 with h); for ``history`` it is the embedding. For
    MLP it is the item part of the first layer before the ReLU, ``Wi item``, without the bias, which all items share.
    For NeuMF it is both, each scaled to mean norm 1. Embedding dimensions that the network ignores have no effect on
    the similarity.

    Args:
        config: architecture and sizes.
        weights: of the model.
    """

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        parts = []
        if config.has_history:
            parts.append(weights["item_gmf.weight"])
        if config.has_gmf:
            parts.append(weights["item_gmf.weight"] * weights["output.weight"][0, : config.factors])
        if config.has_tower:
            parts.append(weights["item_mlp.weight"] @ weights["tower.0.weight"][:, config.tower[0] // 2 :].T)
        scaled = [part / max(float(np.linalg.norm(part, axis=1).mean()), _TINY) for part in parts]
        vectors = np.concatenate(scaled, axis=1)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(norms, _TINY)
        self._vectors = vectors

    def cosines(self, item: int) -> NDArray[np.float32]:
        """Cosine of one item with every item, float32 [n_items]."""
        cosines: NDArray[np.float32] = self._vectors @ self._vectors[item]
        return cosines
