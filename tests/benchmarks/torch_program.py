"""``ncf serve`` with the same model in plain torch: the same HTTP application, with torch's forward pass for the scores.

python -m tests.benchmarks.torch_program MODEL PORT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.models import ranker
from ncf.stage.command import main


class TorchRanker(torch.nn.Module):
    """NeuMF as it is published, written as people write it: embeddings are looked up and concatenated for each pair."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        super().__init__()
        self.config = config
        table = torch.nn.Embedding.from_pretrained
        named = {name: torch.tensor(weight) for name, weight in weights.items()}
        self.users = [table(named["user_gmf.weight"]), table(named["user_mlp.weight"])]
        self.items = [table(named["item_gmf.weight"]), table(named["item_mlp.weight"])]
        self.layers = [(named[f"tower.{n}.weight"], named[f"tower.{n}.bias"]) for n in range(config.n_layers)]
        self.output = named["output.weight"], named["output.bias"]

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        product = self.users[0](users) * self.items[0](items)
        hidden = torch.cat([self.users[1](users), self.items[1](items)], dim=1)
        for weight, bias in self.layers:
            hidden = torch.nn.functional.linear(hidden, weight, bias).relu()
        return torch.nn.functional.linear(torch.cat([product, hidden], dim=1), *self.output)[:, 0]

    @torch.inference_mode()
    def top_k_of_each(
        self, users: NDArray[np.int64], k: int, exclude: ItemsByUser | None = None
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        items = torch.arange(self.config.n_items)
        for user in users.tolist():
            scores = self(torch.full_like(items, user), items)
            if exclude is not None:
                scores[torch.tensor(exclude.of_user(user), dtype=torch.long)] = -torch.inf
            best = scores.topk(min(k, len(items)))
            yield best.indices.numpy().astype(np.int32), best.values.numpy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    ranker.Ranker = TorchRanker  # type: ignore[assignment,misc]
    main(["serve", "--model", sys.argv[1], "--port", sys.argv[2]])
