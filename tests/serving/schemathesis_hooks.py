"""What schemathesis has to know of this API, whether it runs in a test or on its own (``SCHEMATHESIS_HOOKS``)."""

from __future__ import annotations

import schemathesis


@schemathesis.serializer("application/jsonlines", "text/csv")
def as_it_is(_: schemathesis.SerializationContext, value: object) -> bytes:
    """Lines are made as text, not from a schema of their own."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
