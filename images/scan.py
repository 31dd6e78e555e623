"""Findings of ECR's scans of pushed images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ncf.errors import InputError, RemoteError

if TYPE_CHECKING:
    from ncf.aws.session import Aws

SEVERITIES = ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Severities of ECR, the worst one last."""
_UNKNOWN = ("UNDEFINED", "UNTRIAGED")
"""Severities of findings that nobody has rated."""
_WAITING, _DONE = ("IN_PROGRESS", "PENDING"), ("COMPLETE", "ACTIVE")
_NOT_YET = "ScanNotFoundException"
_MOST_SECONDS = 900.0
_SHOWN = 10


def scan(images: Sequence[str], fail_on: str, accepted: Collection[str] = ()) -> Iterator[str]:
    """Wait for the scan that each push starts, and check its findings.

    Args:
        images: in ECR, with their tags.
        fail_on: least severity that fails the check.
        accepted: names of findings that do not, such as ``CVE-2026-1234``.

    Yields:
        A line an image: its name, digest, and number of findings by severity.

    Raises:
        InputError: if an image is not in ECR, or ECR refuses.
        RemoteError: if there are findings, the scan fails, or it takes longer than 15 minutes.
    """
    refused = []
    for image in images:
        digest, findings = _findings(image)
        counts = Counter(severity for severity, _ in findings)
        order = [*reversed(SEVERITIES), *_UNKNOWN]
        text = ", ".join(f"{counts[severity]} {severity}" for severity in order if counts[severity])
        yield f"{image}@{digest}: {text or 'no findings'}"
        bad = SEVERITIES[SEVERITIES.index(fail_on) :]
        names = sorted({name for severity, name in findings if severity in bad and name not in accepted})
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            refused.append(f"{image}: {', '.join(names[:_SHOWN])}{more}")
    if refused:
        raise RemoteError(f"findings of severity {fail_on} or worse: {'; '.join(refused)}")


def _findings(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Digest of an image, and severity and name of each finding."""
    from ncf.aws.ecr import EcrImage
    from ncf.aws.session import Aws
    from ncf.aws.settings import AwsAccess

    image = EcrImage.of(text)
    if image is None:
        raise InputError(f"registry: '{text}' is not an image in ECR, which alone scans it")
    aws = Aws(AwsAccess(region=image.region))
    request = {**image.repository, "imageId": image.identifier}
    first = _completed(aws, text, request)
    pages = [first]
    while token := pages[-1].get("nextToken"):
        pages.append(aws.call("ecr", "describe_image_scan_findings", **request, nextToken=token))
    found = [entry for page in pages for entry in _of_page(page.get("imageScanFindings", {}))]
    return first["imageId"]["imageDigest"], found


def _completed(aws: Aws, image: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The first page of a scan that is complete."""
    from ncf.aws.errors import RefusedError
    from ncf.aws.session import poll

    status = "not started"
    for _ in poll(_MOST_SECONDS):
        try:
            answer = aws.call("ecr", "describe_image_scan_findings", **request)
        except RefusedError as error:
            if error.code != _NOT_YET:
                raise
            continue
        status = answer["imageScanStatus"]["status"]
        if status in _DONE:
            return answer
        if status not in _WAITING:
            reason = answer["imageScanStatus"].get("description", "")
            raise RemoteError(f"{image}: ECR's scan is {status}: {reason}")
    raise RemoteError(
        f"{image}: ECR's scan is {status} after {_MOST_SECONDS:.0f} s; its repository must scan on push, as the set-up "
        "stack sets it"
    )


def _of_page(findings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Severity and name of each finding: of a basic scan, or of Amazon Inspector."""
    for entry in findings.get("findings", ()):
        yield entry["severity"], entry["name"]
    for entry in findings.get("enhancedFindings", ()):
        yield entry["severity"], entry.get("packageVulnerabilityDetails", {}).get("vulnerabilityId") or entry["title"]
