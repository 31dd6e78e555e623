"""Check of the golden answers, before the server takes traffic."""

from __future__ import annotations

from ncf.api.requests import Invocation, RequestError, parse
from ncf.artifacts.golden import FILE_NAME, Golden
from ncf.errors import InputError
from ncf.serving.recommender import Recommender


def check(recommender: Recommender, golden: Golden) -> float:
    """Answer the golden requests and compare the scores.

    Returns:
        The largest difference between a score and its expected value.

    Raises:
        InputError: if a score differs; names the user, the item, the score expected and the score found.
    """
    largest = 0.0
    for golden_request in golden.requests:
        try:
            invocation = parse(golden_request.request.model_dump_json().encode())
        except RequestError as error:
            raise InputError(f"{FILE_NAME}: the endpoint refuses a golden request: {error}") from None
        assert isinstance(invocation, Invocation)
        answers = recommender.recommend(invocation.users, invocation.k, invocation.exclude_seen)
        found = [(answer["user"], answer["source"]) for answer in answers]
        if found != [(golden_request.user, "model")]:
            raise InputError(f"{FILE_NAME}: asked for user {golden_request.user!r} by the model, found {found}")
        items = [(item["item"], score) for item in answers[0]["items"] if (score := item["score"]) is not None]
        largest = max(largest, golden_request.compare(items))
    return largest
