"""The answer to all requests in a body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ncf.api.answers import Failure, OneList, Recommendation
from ncf.api.formats import Writer
from ncf.api.requests import AnyForm, Invocation, RequestError
from ncf.serving.backpressure import Check
from ncf.serving.recommender import Recommender
from ncf.serving.request_stats import RequestStats


def answer_body(
    recommender: Recommender, requests: Iterable[AnyForm], media: str, single: bool, stats: RequestStats, check: Check
) -> bytes:
    """The body of an answer.

    Args:
        recommender: the model.
        requests: requests in the body.
        media: media type of the answer.
        single: whether the body is one request in JSON. A request that cannot be answered is an error then. Otherwise
            the answer names the reason, and the other requests are answered.
        stats: updated with each list of items.
        check: called before each list of items.

    Raises:
        RequestError: 422 if a single request cannot be answered.
        ClientDisconnect: if the client has disconnected.
    """
    writer = Writer(media, single)
    for request in requests:
        check()
        stats.forms.add(request.label)
        if isinstance(request, Invocation):
            unknown = recommender.unknown(request.allow or ())
            found = _counted(request, recommender.recommendations(request), stats, check)
            writer.add_recommendations(request, recommender.version, found, unknown)
            continue
        answer: OneList | Failure
        try:
            answer = recommender.answer(request)
            stats.add(request, answer)
        except RequestError as error:
            if single:
                raise
            answer = Failure(error=str(error))
        writer.add(request, answer)
    return writer.content()


def _counted(
    request: Invocation, found: Iterable[Recommendation], stats: RequestStats, check: Check
) -> Iterator[Recommendation]:
    for recommendation in found:
        check()
        stats.add(request, recommendation)
        yield recommendation
