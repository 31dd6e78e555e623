"""The answer to a body's requests, made a part at a time, so that neither memory nor others' patience runs out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ncf.api.answers import AnyList, Failure, OneList, Recommendation, source_of
from ncf.api.formats import Writer
from ncf.api.requests import AnyForm, Invocation, RequestError
from ncf.serving.recommender import Recommender

Part = tuple[bytes, bool]
"""Some bytes of an answer, and whether there may be more."""
BYTES_AT_ONCE = 1 << 16
_PAIRS_A_TURN = 1 << 18
"""After so many, some 0.1 s, requests of others have their turn."""


@dataclass
class Seen:
    """What is told of a body's requests when they have ended."""

    status: int = 500
    forms: set[str] = field(default_factory=set)
    k: int | None = None
    batch: int = 0
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, form: AnyForm, answer: AnyList) -> None:
        self.k = getattr(form, "k", None)
        self.batch += 1
        self.sources[source_of(answer)] += 1

    @property
    def form(self) -> str:
        return self.forms.copy().pop() if len(self.forms) == 1 else "mixed" if self.forms else ""


class Parts:
    """The parts of the answer, each made when it is asked for.

    Args:
        recommender: answers.
        requests: of the body.
        writer: of the answers.
        seen: told of what is answered.
        single: whether a request that cannot be answered is an error; else the answer says so, and others follow.
    """

    def __init__(
        self, recommender: Recommender, requests: Iterable[AnyForm], writer: Writer, seen: Seen, single: bool
    ) -> None:
        self._recommender, self._writer, self._seen, self._single = recommender, writer, seen, single
        self._lists = self._each_list(requests)

    def next(self) -> Part:
        """Some ``BYTES_AT_ONCE``, or what takes a turn to score.

        Raises:
            RequestError: 422 for a single request that cannot be answered.
        """
        content, pairs = bytearray(), 0
        for one, scored in self._lists:
            content += one
            pairs += scored
            if pairs >= _PAIRS_A_TURN or len(content) >= BYTES_AT_ONCE:
                return bytes(content), True
        return bytes(content) + self._writer.end(), False

    def _each_list(self, requests: Iterable[AnyForm]) -> Iterator[tuple[bytes, int]]:
        """The bytes of each list of items, and how many pairs were scored for it."""
        for form in requests:
            self._seen.forms.add(form.label)
            pairs = self._recommender.pairs(form)
            if isinstance(form, Invocation):
                unknown = self._recommender.unknown(form.allow or ())
                found = self._told(form, self._recommender.recommendations(form))
                for piece in self._writer.write_each(form, self._recommender.version, found, unknown):
                    yield piece, pairs // len(form.users)
                continue
            answer: OneList | Failure
            try:
                answer = self._recommender.answer(form)
                self._seen.add(form, answer)
            except RequestError as error:  # well formed, and not to be answered
                if self._single:
                    raise
                answer = Failure(error=str(error))
            yield self._writer.write(form, answer), pairs

    def _told(self, form: Invocation, found: Iterable[Recommendation]) -> Iterator[Recommendation]:
        for recommendation in found:
            self._seen.add(form, recommendation)
            yield recommendation
