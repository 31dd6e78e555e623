"""Access keys of the stand-in's clients."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_PARTITION = "aws"
calling_key: ContextVar[str] = ContextVar("calling_key", default="")
"""ID of the access key of the request that is being answered; '' outside of one."""


@dataclass(frozen=True)
class AccessKey:
    """An access key, as of AWS: its ID and its secret."""

    id: str
    secret: str

    @classmethod
    def random(cls) -> AccessKey:
        """A new key."""
        return cls(f"NCF0{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))


def access_key_id(environ: Mapping[str, Any]) -> str:
    """ID of the access key of a signed WSGI request; '' for an unsigned request."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def author(account: str, region: str) -> dict[str, Any]:
    """The caller of the request that is being answered, as UserContext of SageMaker: that of GetCallerIdentity."""
    from moto.sts.models import sts_backends

    user_id, arn, _ = sts_backends[account][_PARTITION].get_caller_identity(calling_key.get(), region)
    return {"IamIdentity": {"Arn": arn, "PrincipalId": user_id}}


class Keys:
    """Valid access keys: the stand-in's own, those of IAM users, and the temporary ones of assumed roles.

    Args:
        own: key of the stand-in.
        account: ID of the account.
    """

    def __init__(self, own: AccessKey, account: str) -> None:
        self.own, self._account = own, account

    def find(self, key_id: str) -> AccessKey | None:
        """The key of an ID; None if there is none."""
        if hmac.compare_digest(key_id.encode(errors="replace"), self.own.id.encode()):
            return self.own
        return self._of_user(key_id) or self._of_role(key_id)

    def _of_user(self, key_id: str) -> AccessKey | None:
        from moto.iam.models import iam_backends

        found = iam_backends[self._account][_PARTITION].access_keys.get(key_id)
        return AccessKey(key_id, found.secret_access_key) if found else None

    def _of_role(self, key_id: str) -> AccessKey | None:
        from moto.sts.models import sts_backends

        found = sts_backends[self._account][_PARTITION].get_assumed_role_from_access_key(key_id)
        return AccessKey(key_id, found.secret_access_key) if found else None
