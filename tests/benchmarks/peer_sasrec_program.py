"""Score a model of pmixer/SASRec.pytorch and one of ours in the same ways.

``python peer_sasrec_program.py CHECKOUT FOLDER [main.py's options]``, in the folder where the peer was trained. FOLDER
has our ``dataset``, ``samples`` and ``model``. The last line of the output is JSON.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation import metrics
from ncf.models.scorer import Scorer

checkout, folder = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, checkout)
import model as peer_model  # type: ignore[import-not-found]  # noqa: E402 (the checkout's)
import utils  # type: ignore[import-not-found]  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--maxlen", type=int)
parser.add_argument("--dropout_rate", type=float)
options = parser.parse_args(sys.argv[3:])
settings = argparse.Namespace(
    **vars(options), device="cpu", hidden_units=50, num_blocks=2, num_heads=1, norm_first=False
)

dataset, ours = Dataset.load(folder / "dataset"), ModelFolder.load(folder / "model")
partition = utils.data_partition("peer")
train, valid, test, n_users, n_items = partition
weights = max(Path("peer_peer").glob("*.pth"), key=lambda path: path.stat().st_mtime)
sasrec = peer_model.SASRec(n_users, n_items, settings)
sasrec.load_state_dict(torch.load(weights, weights_only=True))
sasrec.eval()
scorer = Scorer(ours.config, ours.weights, ours.train)
USERS_AT_ONCE = 256


class Ours:
    """Our model as the peer's ``evaluate`` asks it."""

    def predict(self, users: Any, _: Any, items: Any) -> Any:
        return scorer.score_pairs(users - 1, items[None] - 1)


def of_peer(users: Any) -> Any:
    """Scores of all items, float32 [B, n_items]; int [B], from 0."""
    sequences = np.zeros((len(users), settings.maxlen), np.int32)
    for row, user in enumerate(users.tolist()):
        latest = [*train[user + 1], *valid[user + 1]][-settings.maxlen :]
        sequences[row, -len(latest) :] = latest
    return (sasrec.log2feats(sequences)[:, -1] @ sasrec.item_emb.weight[1:].T).numpy()


def in_catalogue(score_all: Any) -> float:
    """Mean NDCG@10 of the test items among all items that their users do not have."""
    users = np.array([user - 1 for user, items in test.items() if items])
    found = []
    for start in range(0, len(users), USERS_AT_ONCE):
        block = users[start : start + USERS_AT_ONCE]
        for user, scores in zip(block.tolist(), score_all(block), strict=True):
            scores[np.array([*train[user + 1], *valid[user + 1]]) - 1] = -np.inf
            found.append(metrics.ranks_in_catalogue(scores, np.array(test[user + 1]) - 1))
    return float(metrics.ndcg(np.concatenate(found), 10).mean())


held_out = dict(dataset.test.tolist())
if wrong := [user for user, items in test.items() if items and [held_out.get(user - 1)] != [items[0] - 1]]:
    sys.exit(f"the test items of {len(wrong)} users are not the same on both sides")
rows = {}
with torch.no_grad():
    for who, model, score_all in (("SASRec.pytorch", sasrec, of_peer), ("ncf", Ours(), scorer.score_all)):
        random.seed(1)
        np.random.seed(1)
        ndcg, hr = utils.evaluate(model, partition, settings)
        whole = in_catalogue(score_all)
        rows[who] = {"100 drawn: HR@10": hr, "NDCG@10": ndcg, "whole catalogue: NDCG@10": whole}
print("\n" + json.dumps(rows))
