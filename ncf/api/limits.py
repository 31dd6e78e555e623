"""Limits of the endpoint's contract: sizes, counts and times that bound the memory and the work of a request."""

from __future__ import annotations

# One record: a JSON request, a line of JSON Lines or a row of CSV.
MAX_USERS = 100
"""Users in ``users``."""
MAX_K = 1000
"""Items in one list."""
MAX_CANDIDATES = 10_000
"""Items to score, and items in ``allow`` and in ``deny``."""
MAX_HISTORY = 1000
"""Items in ``history``."""

# One request.
MAX_BODY_BYTES = 1 << 20
MAX_RECORDS = 10_000
"""Records in a body."""
MAX_ITEMS = 100_000
"""Items that the records of a body may ask for in all: one record of ``MAX_USERS`` users with ``MAX_K`` items each, or
``MAX_RECORDS`` records with ten items each."""
HEAD_SECONDS = 20.0
"""Time for the head of a request to arrive on an open connection."""
BODY_SECONDS = 60.0
"""Time for a body to arrive. SageMaker waits 60 seconds for an answer."""
SEND_SECONDS = 60.0
"""Time for a client to read an answer."""

# One server.
MAX_REQUESTS = 64
"""Requests that are read, wait, are computed or are sent at once."""
MAX_UNREAD_BYTES = 64 << 20
"""Bytes of answers of more than 64 KiB that clients have not read. No answer is computed while there are more."""
MAX_CONNECTIONS = 1024
"""Open connections, idle ones among them. uvicorn buffers up to 128 KiB for each. A further one takes the place of the
one that has waited longest for a request."""
STALL_SECONDS = 30.0
"""Time after which the kernel resets a connection whose client reads nothing."""
RETRY_AFTER_SECONDS = 1
"""Value of ``Retry-After`` in an answer with status 503."""
