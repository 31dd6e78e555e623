"""Ask a live endpoint for real users and check what it answers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.api.requests import CONTENT_TYPE, Invocation
from ncf.artifacts import manifest
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.aws.session import Aws
from ncf.errors import RemoteError

CALLS = ("sagemaker:InvokeEndpoint",)
"""What this module calls: permissions are made from it."""

_K = 10


@dataclass(frozen=True)
class SmokeTest:
    """A request, and what is known of the right answer.

    Attributes:
        model_version: that must answer.
        users: raw ids, spread over all users of the model.
        seen: raw ids of the items that each of them has seen.
        n_items: items of the model.
    """

    model_version: str
    users: list[str]
    seen: dict[str, set[str]]
    n_items: int

    @classmethod
    def of_model(cls, folder: Path, n_users: int) -> SmokeTest:
        """For ``n_users`` users of a model folder (fewer if it has fewer)."""
        content = json.loads((folder / manifest.FILE_NAME).read_text())
        user_ids, item_ids = Strings.load(folder, "user_ids"), Strings.load(folder, "item_ids")
        seen = ItemsByUser.load(folder, "seen")
        count = min(n_users, len(user_ids))
        places = [len(user_ids) * part // count for part in range(count)]
        return cls(
            model_version=manifest.version(content),
            users=[user_ids[place] for place in places],
            seen={user_ids[place]: {item_ids[item] for item in seen.of_user(place)} for place in places},
            n_items=len(item_ids),
        )

    def body(self) -> str:
        """The request as JSON."""
        return Invocation(users=self.users, k=_K).model_dump_json(include={"users", "k"})

    def run(self, aws: Aws, endpoint: str) -> float:
        """Invoke the endpoint.

        Returns:
            Seconds until the answer.

        Raises:
            RemoteError: that says how the answer differs from what it must be.
        """
        start = time.perf_counter()
        answer = aws.call(
            "sagemaker-runtime",
            "invoke_endpoint",
            EndpointName=endpoint,
            ContentType=CONTENT_TYPE,
            Body=self.body(),
        )
        content = answer["Body"].read()
        seconds = time.perf_counter() - start
        try:
            fault = self._fault(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            fault = f"{error!r} in the answer {content[:200]!r}"
        if fault:
            raise RemoteError(f"endpoint {endpoint} is in service and failed the smoke test: {fault}")
        return seconds

    def _fault(self, answer: dict[str, Any]) -> str:
        """What is wrong with an answer; '' if nothing is."""
        if answer["model_version"] != self.model_version:
            return f"model version {answer['model_version']} answers, not {self.model_version}"
        recommendations = answer["recommendations"]
        if [entry["user"] for entry in recommendations] != self.users:
            return f"asked for users {self.users}, got {[entry['user'] for entry in recommendations]}"
        for entry in recommendations:
            user, items = entry["user"], [item["item"] for item in entry["items"]]
            seen = self.seen[user]
            expected = min(_K, self.n_items - len(seen))
            if entry["source"] != "model":
                return f"user {user} is in the model, and gets items from '{entry['source']}'"
            if len(set(items)) != expected or len(items) != expected:
                return f"user {user} gets {len(set(items))} different items; expected {expected}"
            if known := seen.intersection(items):
                return f"user {user} gets items seen before: {', '.join(sorted(known))}"
        return ""
