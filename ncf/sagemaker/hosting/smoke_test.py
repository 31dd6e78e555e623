"""Smoke test of an endpoint in service: recommendations for users of its model."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.api.requests import CONTENT_TYPE, Invocation
from ncf.artifacts import manifest
from ncf.artifacts.model_folder import KIND
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.aws.session import Aws
from ncf.errors import RemoteError

CALLS = ("sagemaker:InvokeEndpoint",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_K = 10


@dataclass(frozen=True)
class SmokeTest:
    """A request, and properties of the correct answer.

    Attributes:
        model_version: expected in the answer.
        users: raw ids, spread evenly over the model's users.
        seen: raw ids of the seen items of each user.
        n_items: number of items of the model.
    """

    model_version: str
    users: list[str]
    seen: dict[str, set[str]]
    n_items: int

    @classmethod
    def of_model(cls, folder: Path, n_users: int) -> SmokeTest:
        """The smoke test of a model folder.

        Args:
            folder: of the model.
            n_users: number of users, or fewer if the model has fewer.
        """
        content = manifest.read(folder, KIND)
        files = UntrustedFiles.of(folder, content["files"])
        user_ids, item_ids, seen = files.ids("user_ids"), files.ids("item_ids"), files.items_by_user("seen")
        count = min(n_users, len(user_ids))
        indices = [len(user_ids) * part // count for part in range(count)]
        return cls(
            model_version=manifest.version(content),
            users=[user_ids[user] for user in indices],
            seen={user_ids[user]: {item_ids[item] for item in seen.of_user(user)} for user in indices},
            n_items=len(item_ids),
        )

    def body(self) -> str:
        """The request, in JSON."""
        return Invocation(users=self.users, k=_K).model_dump_json(include={"users", "k"})

    def run(self, aws: Aws, endpoint: str, variant: str = "", target_model: str = "") -> float:
        """Invoke the endpoint.

        Args:
            aws: clients to call.
            endpoint: its name.
            variant: to invoke; '' for any.
            target_model: of a multi-model endpoint; '' for others.

        Returns:
            Seconds until the answer.

        Raises:
            RemoteError: if the answer is not as expected; the message names the difference.
        """
        start = time.perf_counter()
        answer = aws.call_with_new(
            "sagemaker-runtime",
            "invoke_endpoint",
            EndpointName=endpoint,
            ContentType=CONTENT_TYPE,
            Body=self.body(),
            **({"TargetVariant": variant} if variant else {}),
            **({"TargetModel": target_model} if target_model else {}),
        )
        content = answer["Body"]
        seconds = time.perf_counter() - start
        try:
            fault = self._fault(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            fault = f"{error!r} in the answer {content[:200]!r}"
        if fault:
            raise RemoteError(f"endpoint {endpoint} is in service but failed the smoke test: {fault}")
        return seconds

    def _fault(self, answer: dict[str, Any]) -> str:
        """The error in an answer; '' if it is correct."""
        if answer["model_version"] != self.model_version:
            return f"model version {answer['model_version']} answers, not {self.model_version}"
        recommendations = answer["recommendations"]
        if (users := [entry["user"] for entry in recommendations]) != self.users:
            return f"users {self.users} were requested, but the answer is for {users}"
        for entry in recommendations:
            user, items = entry["user"], [item["item"] for item in entry["items"]]
            seen = self.seen[user]
            expected = min(_K, self.n_items - len(seen))
            if entry["source"] != "model":
                return f"user {user} is in the model, but its items are from '{entry['source']}'"
            if len(set(items)) != expected or len(items) != expected:
                return f"user {user} gets {len(set(items))} different items; expected {expected}"
            if known := seen.intersection(items):
                return f"user {user} gets items seen before: {', '.join(sorted(known))}"
        return ""
