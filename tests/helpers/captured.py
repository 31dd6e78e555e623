"""Captured requests and answers, as SageMaker writes them, with the answers of the real code of the endpoint."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ncf.api.formats import media_of, read_requests
from ncf.api.media_types import JSON
from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.files import Line
from ncf.monitoring.observation import Observation
from ncf.monitoring.outcomes import Outcomes
from ncf.monitoring.population import Population
from ncf.monitoring.window import Window
from ncf.serving.answering import answer_body
from ncf.serving.recommender import Recommender
from ncf.serving.request_stats import RequestStats

START = datetime(2026, 5, 4, tzinfo=UTC)
VARIANT = "AllTraffic"


def window(hours: int = 24) -> Window:
    return Window.of(START.isoformat(), hours, datetime(2026, 6, 1, tzinfo=UTC))


def side(mode: str, body: bytes, media: str, encoding: str) -> dict[str, str]:
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode()
    return {"observedContentType": media, "mode": mode, "data": data, "encoding": encoding}


def record(
    asked: dict[str, str], answered: dict[str, str] | None, seconds: float = 60.0, **more: Any
) -> dict[str, Any]:
    """A record.

    Args:
        asked: request, from :func:`side`.
        answered: answer; None if it was not captured.
        seconds: of the request, after the start of the window.
        more: further metadata, such as ``customAttributes``.
    """
    moment = datetime.fromtimestamp(START.timestamp() + seconds, UTC)
    sides = {"endpointInput": asked, **({"endpointOutput": answered} if answered else {})}
    metadata = {"eventId": "0-1", "inferenceTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **more}
    return {"captureData": sides, "eventMetadata": metadata, "eventVersion": "0"}


def answered(
    recommender: Recommender,
    body: bytes,
    given: str = JSON,
    wanted: str = "",
    base64: bool = False,
    seconds: float = 60.0,
) -> dict[str, Any]:
    """The record of a request that the endpoint answers."""
    media = media_of(body, given)
    wanted = wanted or media
    requests = read_requests(body, media)
    answer = answer_body(recommender, requests, wanted, media == JSON, RequestStats(), lambda: None)
    encodings = ["BASE64" if base64 else {"text/csv": "CSV"}.get(kind, "JSON") for kind in (given, wanted)]
    return record(
        side("INPUT", body, given, encodings[0]), side("OUTPUT", answer, wanted, encodings[1]), seconds=seconds
    )


def of_user(user: str, items: Sequence[str], seconds: float = 60.0, source: str = "model") -> dict[str, Any]:
    """The record of a request for one user, with a list that no model has made."""
    found = {"user": user, "source": source, "items": [{"item": item, "score": 1.0} for item in items]}
    answer = json.dumps({"model_version": "x", "recommendations": [found]}).encode()
    asked = json.dumps({"users": [user], "k": len(items) or 1}).encode()
    return record(side("INPUT", asked, JSON, "JSON"), side("OUTPUT", answer, JSON, "JSON"), seconds)


def line(content: Mapping[str, Any] | bytes, variant: str = VARIANT) -> Line:
    return Line(variant, content if isinstance(content, bytes) else json.dumps(content).encode())


def population(activity: Mapping[str, int], popularity: Mapping[str, int], **parameters: Any) -> Population:
    """The population of a model, by training interactions of each user and item."""
    import numpy as np

    return Population.of(
        {user: index for index, user in enumerate(activity)},
        {item: index for index, item in enumerate(popularity)},
        np.array(list(activity.values()), np.int64),
        np.array(list(popularity.values()), np.int64),
        "0123456789ab",
        parameters,
    )


def observed(known: Population, lines: Sequence[Line], outcomes: Outcomes | None = None) -> Observation:
    """What lines show."""
    observation = Observation(known, window(), UserNumbers(known.users.index), outcomes)
    observation.read(lines)
    return observation


def write(folder: Path, endpoint: str, records: Sequence[Mapping[str, Any]], variant: str = VARIANT) -> None:
    """Write records to one file for each hour, as a data capture does."""
    by_hour: dict[str, list[str]] = {}
    for one in records:
        moment = datetime.fromisoformat(one["eventMetadata"]["inferenceTime"])
        by_hour.setdefault(f"{moment:%Y/%m/%d/%H}", []).append(json.dumps(one))
    for hour, lines in by_hour.items():
        path = folder / endpoint / variant / hour / "00-00-000-0.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write("\n".join(lines) + "\n")
