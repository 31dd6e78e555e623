"""Access to the stand-in: only signed requests of its own clients, and none of web pages.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from components.local.aws.errors import ApiError
from components.local.aws.keys import AccessKey, Keys

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_SCOPE = re.compile(r"([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_LENGTH = re.compile(r"[0-9]{1,15}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PAYLOAD_HEADER = "x-amz-content-sha256"
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_FORBIDDEN = 403
_MAX_SKEW = timedelta(minutes=15)
"""Difference between the time of a signature and that of the server, as AWS accepts it."""
_TARGET_HEADER = "x-amz-target"
"""Header that names the operation of the services whose requests are JSON."""


@dataclass(frozen=True)
class _Signature:
    """Signature of a request, Version 4.

    Attributes:
        key_id: ID of the access key.
        region: region of the credential scope.
        service: service of the credential scope.
        headers: names of the signed headers.
        value: hexadecimal digits of the signature.
        time: time of the signature.
        query: signed query of a presigned URL; None for a signature in the header.
        seconds: validity of a presigned URL.
    """

    key_id: str
    region: str
    service: str
    headers: Sequence[str]
    value: str
    time: str
    query: str | None = None
    seconds: int = 0

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> _Signature | None:
        """The signature of a WSGI request; None without a valid one."""
        if found := _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", "")):
            key_id, region, service, headers, value = found.groups()
            return cls(key_id, region, service, headers.split(";"), value, environ.get("HTTP_X_AMZ_DATE", ""))
        return cls._of_query(environ.get("QUERY_STRING", ""))

    @classmethod
    def _of_query(cls, query: str) -> _Signature | None:
        """The signature of a presigned URL."""
        given = dict(parse_qsl(query))
        scope = _SCOPE.fullmatch(given.get("X-Amz-Credential", ""))
        seconds = given.get("X-Amz-Expires", "")
        if scope is None or not _SECONDS.fullmatch(seconds):
            return None
        signed = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
        names, value = given.get("X-Amz-SignedHeaders", ""), given.get("X-Amz-Signature", "")
        return cls(*scope.groups(), names.split(";"), value, given.get("X-Amz-Date", ""), signed, int(seconds))

    @property
    def is_expired(self) -> bool:
        """Whether it is no longer valid, or of a time to come."""
        valid_for = _MAX_SKEW if self.query is None else timedelta(seconds=self.seconds)
        try:
            made = datetime.strptime(self.time, _TIME_FORMAT).replace(tzinfo=UTC)
            return not made - _MAX_SKEW <= datetime.now(UTC) <= made + valid_for
        except (ValueError, OverflowError):
            return True

    def covers_operation(self, environ: Mapping[str, Any]) -> bool:
        """Whether it is one of the operation that the request names in a header, if it names one."""
        if not _header(environ, _TARGET_HEADER):
            return True
        return self.query is None and self.service != "s3" and _TARGET_HEADER in self.headers

    def expected(self, key: AccessKey, environ: Mapping[str, Any], body: bytes) -> str:
        """The signature that botocore makes of the request with a key."""
        from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        in_query = self.query is not None
        url = urlsplit(environ.get("REQUEST_URI", ""))
        query = self.query if in_query else url.query
        request = AWSRequest(
            method=environ["REQUEST_METHOD"],
            url=f"http://{environ.get('HTTP_HOST', '')}{url.path}?{query}",
            headers={name: _header(environ, name) for name in self.headers},
            data=body,
        )
        request.context["timestamp"] = self.time
        kinds = (S3SigV4Auth, S3SigV4QueryAuth) if self.service == "s3" else (SigV4Auth, SigV4Auth)
        signer = kinds[in_query](Credentials(key.id, key.secret), self.service, self.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return str(signer.signature(text, request))


class Access:
    """Check of the requests to a server.

    Args:
        keys: valid access keys.
        hosts: host names and addresses of the server. Their subdomains are accepted too.
    """

    def __init__(self, keys: Keys, hosts: Sequence[str]) -> None:
        self._keys, self._hosts = keys, [host.lower() for host in hosts]

    def check(self, environ: dict[str, Any]) -> None:
        """Check a WSGI request, whose body is read once its access key is known.

        The signatures of the parts of a body (``aws-chunked``) are not verified, only that of the request.

        Raises:
            ApiError: for a request of a web page, for another host, without a valid key, or with a wrong signature.
        """
        if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
            raise ApiError("AccessDenied", "requests of web pages are not accepted", _FORBIDDEN)
        host = environ.get("HTTP_HOST", "").partition(":")[0].lower()
        if not any(host == name or host.endswith(f".{name}") for name in self._hosts):
            raise ApiError("AccessDenied", "the request is for another host", _FORBIDDEN)
        signature = _Signature.of(environ)
        key = self._keys.find(signature.key_id) if signature else None
        if signature is None or key is None:
            raise ApiError("InvalidClientTokenId", "The security token included in the request is invalid", _FORBIDDEN)
        body = read_body(environ)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        is_right = hmac.compare_digest(signature.expected(key, environ, body), signature.value)
        if not (is_right and signature.covers_operation(environ) and _is_signed(environ, signature, body)):
            raise ApiError("SignatureDoesNotMatch", "The request signature does not match", _FORBIDDEN)
        if signature.is_expired:
            raise ApiError("AccessDenied", "Request has expired", _FORBIDDEN)


def _is_signed(environ: Mapping[str, Any], signature: _Signature, body: bytes) -> bool:
    """Whether a digest of the body that is given in the request is right."""
    digest = _header(environ, _PAYLOAD_HEADER)
    if _PAYLOAD_HEADER not in signature.headers or not _DIGEST.fullmatch(digest):
        return True
    return hmac.compare_digest(hashlib.sha256(body).hexdigest(), digest)


def _header(environ: Mapping[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value: str = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return value


def read_body(environ: Mapping[str, Any], limit: int | None = None) -> bytes:
    """The body of a WSGI request, or its first ``limit`` bytes."""
    given = environ.get("CONTENT_LENGTH") or ""
    length = int(given) if _LENGTH.fullmatch(given) else 0
    if limit is None and environ.get("wsgi.input_terminated"):
        body: bytes = environ["wsgi.input"].read()
        return body
    read: bytes = environ["wsgi.input"].read(length if limit is None else min(length, limit))
    return read
