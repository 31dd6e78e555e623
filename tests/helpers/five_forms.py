"""Every form of request, in every media type, asked of a live server: process and container answer alike."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ncf.artifacts.model_folder import ModelFolder
from ncf.models.scorer import Scorer

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
Ask = Callable[[bytes, dict[str, str]], tuple[int, bytes]]
"""Posts a body with headers to /invocations: status and body of the answer."""


def check_forms(ask: Ask, model: ModelFolder) -> None:
    """Ask all and compare with what the scorer says of the model, of whose users one is u1, whose items two are i1, i2.

    Raises:
        AssertionError: if an answer is another one.
    """
    hosted = model.hosted()
    scorer = Scorer(hosted.config, hosted.weights, hosted.train)
    scores = scorer.score_all(np.array([1]))[0]
    seen = set(model.seen.of_user(1).tolist())
    ranked = [item for item in np.argsort(-scores, kind="stable").tolist() if item not in seen]
    best = [model.item_ids[item] for item in ranked[:3]]

    def post(body: Any) -> Any:
        status, content = ask(json.dumps(body).encode(), {"Content-Type": JSON})
        assert status == 200, content
        return json.loads(content)

    (user,) = post({"users": ["u1"], "k": 3})["recommendations"]
    assert (user["source"], ids(user["items"])) == ("model", best)
    assert any(item.get("title") for item in user["items"])
    (others,) = post({"users": ["u1"], "k": 2, "deny": best[:1], "with_titles": False})["recommendations"]
    assert others["items"] == [{"item": i["item"], "score": i["score"]} for i in user["items"][1:]]
    (allowed,) = post({"users": ["u1"], "k": 9, "allow": [best[2], best[0], "nothing"]})["recommendations"]
    assert ids(allowed["items"]) == [best[0], best[2]]

    candidates = post({"user": "u1", "items": ["i2", "nothing", "i1"]})
    found = [item["score"] for item in candidates["items"]]
    assert ids(candidates["items"]) == ["i2", "nothing", "i1"]
    np.testing.assert_allclose([found[0], found[2]], scores[[2, 1]], atol=1e-5)
    assert found[1] is None

    pairs = post({"user": ["u1"] * 20, "item": [f"i{item}" for item in range(20)]})
    assert ids(pairs["items"]) == [f"i{item}" for item in np.argsort(-scores[:20], kind="stable")[:10].tolist()]

    similar = post({"item": "i1", "k": 4})["similar"]
    cosines = [item["score"] for item in similar]
    assert len(similar) == 4
    assert "i1" not in ids(similar)
    assert cosines == sorted(cosines, reverse=True)
    assert -1 <= cosines[-1] <= cosines[0] <= 1

    history = post({"history": ["i1", "i2", "nothing"], "k": 4})
    assert (history["source"], history["unknown"], len(history["items"])) == ("history", ["nothing"], 4)
    assert not {"i1", "i2"} & set(ids(history["items"]))

    known = post({"history": ["i1"], "user": "u1", "k": 4})
    assert (known["source"], known["user"], len(known["items"])) == ("history", "u1", 4)
    assert not {"i1", *(model.item_ids[item] for item in seen)} & set(ids(known["items"]))

    mixed = json.dumps({"users": ["u1"], "history": ["i1"]}).encode()
    status, content = ask(mixed, {"Content-Type": JSON})
    assert status == 422
    assert all(field in json.loads(content)["error"] for field in ("'users'", "'history'"))

    lines = b'{"users": ["u1"], "k": 3}\n{"item": "i1", "k": 4}\n'
    status, content = ask(lines, {"Content-Type": LINES})
    assert status == 200
    first, second = (json.loads(line) for line in content.splitlines())
    assert first["recommendations"] == [user]
    assert second["similar"] == similar

    status, content = ask(b"u1\nu1\n", {"Content-Type": CSV, "Accept": CSV})
    assert status == 200
    assert [row[:3] for row in rows(content)] == [best] * 2
    status, content = ask(b"u1,i2\nu1,nothing\nu1,i1\n", {"Content-Type": CSV})
    assert status == 200
    assert [row[0] for row in rows(content)] == ["" if score is None else str(score) for score in found]


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item"] for item in items]


def rows(content: bytes) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(content.decode(), newline=""))
