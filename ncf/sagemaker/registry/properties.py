"""Keys and values of a model package's CustomerMetadataProperties.

Versions of a group cannot have tags. AWS accepts 50 properties, keys of 128 and values of 256 characters: letters,
digits, separators and ``_ . : / = + - @``.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from ncf.aws.names import TAG_PREFIX

MAX_PROPERTIES, MAX_VALUE_LENGTH, MAX_NOTE_LENGTH = 50, 256, 1024
"""Bounds of CustomerMetadataProperties, of their values, and of ApprovalDescription."""

RUN, JOB = f"{TAG_PREFIX}run", f"{TAG_PREFIX}job"
"""The pipeline run, and the training job."""
FINGERPRINT, MODEL = f"{TAG_PREFIX}fingerprint", f"{TAG_PREFIX}model"
"""Fingerprint of the dataset, and version of the model in its manifest."""
MODEL_DIGEST = f"{TAG_PREFIX}sha256"
"""Fingerprint of the model, whose first 12 digits are its version."""
VERSION, IMAGE = f"{TAG_PREFIX}version", f"{TAG_PREFIX}image"
"""Version of this project, and training image."""
USERS, ITEMS, INTERACTIONS = f"{TAG_PREFIX}users", f"{TAG_PREFIX}items", f"{TAG_PREFIX}interactions"
GATE, RELEASE = f"{TAG_PREFIX}gate", f"{TAG_PREFIX}release"
"""``passed`` or ``closed: REASON``; and ``at_once``, ``on_approval`` or ``never``."""
CLOSED = "closed"
"""Beginning of the value of ``GATE`` for a closed gate."""
REPORT, DIFF = f"{TAG_PREFIX}report", f"{TAG_PREFIX}diff"
"""URIs of the report of evaluate, and of the comparison with the live model."""
DECIDED, DECIDED_BY, DECIDED_AT = f"{TAG_PREFIX}decided", f"{TAG_PREFIX}decided-by", f"{TAG_PREFIX}decided-at"
"""The approval status that ``ncf approve`` or ``ncf reject`` has set last, who called it, and when."""
DECIDED_NOTE, DECIDED_CONTENT = f"{TAG_PREFIX}decided-note", f"{TAG_PREFIX}decided-content"
"""The beginning of its note, and the fingerprint of the package's content at that time."""
OF_DECISION = (DECIDED, DECIDED_BY, DECIDED_AT, DECIDED_NOTE, DECIDED_CONTENT)
"""Properties that a decision sets. They are no part of the content that is decided on."""
NDCG, HR = f"{TAG_PREFIX}ndcg", f"{TAG_PREFIX}hr"
"""NDCG@10 and HR@10 over the whole catalogue."""
PARAMETER_PREFIX = f"{TAG_PREFIX}param:"
"""Prefix of hyperparameters."""

_ALLOWED_CATEGORIES, _ALLOWED = "LZN", "_.:/=+-@"


def is_value(text: str) -> bool:
    """Whether AWS accepts a text as the value of a property."""
    return 0 < len(text) <= MAX_VALUE_LENGTH and all(map(_is_allowed, text))


def as_value(value: Any) -> str:
    """The text of a value, without the characters that AWS does not accept. '' if nothing is left of it."""
    text = "".join(character if _is_allowed(character) else " " for character in str(value))
    return " ".join(text.split())[:MAX_VALUE_LENGTH].rstrip()


def as_properties(values: Mapping[str, Any], most: int = MAX_PROPERTIES) -> dict[str, str]:
    """Properties of values, in their order: without empty ones, and of the rest the first ones.

    Args:
        values: by key.
        most: number of properties at most.
    """
    properties = {key: text for key, value in values.items() if (text := as_value(value))}
    return dict(list(properties.items())[:most])


def as_note(text: str) -> str:
    """A text as ApprovalDescription: one line of at most 1024 characters."""
    return " ".join(text.split())[:MAX_NOTE_LENGTH].rstrip()


def _is_allowed(character: str) -> bool:
    return character in _ALLOWED or unicodedata.category(character)[0] in _ALLOWED_CATEGORIES
