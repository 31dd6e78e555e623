"""Findings of a scan fail the check; a scan that is not over is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from account_fixtures import set_environment
from botocore.stub import Stubber

from images import build, scan
from ncf.aws import session
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ncf-train:1"
DIGEST = f"sha256:{'a' * 64}"
REQUEST = {"registryId": "123456789012", "repositoryName": "ncf-train", "imageId": {"imageTag": "1"}}
BASIC = [{"name": "CVE-1", "severity": "CRITICAL"}, {"name": "CVE-2", "severity": "LOW"}]
ENHANCED = [
    {"title": "x", "severity": "HIGH", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-3"}},
    {"title": "own finding", "severity": "UNTRIAGED"},
]


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    set_environment(monkeypatch)
    client = Aws.client
    made: list[Any] = []

    def once(self: Aws, service: str) -> Any:
        if not made:
            made.append(client(self, service))
        return made[0]

    stubbed = Stubber(once(Aws(AwsAccess(region="us-east-1")), "ecr"))
    monkeypatch.setattr(Aws, "client", once)
    with stubbed as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def answer(status: str, token: str = "", **findings: Any) -> dict[str, Any]:
    found = {"imageId": {"imageDigest": DIGEST}, "imageScanStatus": {"status": status}, "imageScanFindings": findings}
    return {**found, "nextToken": token} if token else found


def add(ecr: Stubber, response: dict[str, Any], **request: Any) -> None:
    ecr.add_response("describe_image_scan_findings", response, {**REQUEST, **request})


def test_a_scan_is_waited_for_and_all_its_pages_are_read(ecr: Stubber) -> None:
    ecr.add_client_error("describe_image_scan_findings", "ScanNotFoundException")
    add(ecr, answer("IN_PROGRESS"))
    add(ecr, answer("COMPLETE", token="2", findings=BASIC[1:]))
    add(ecr, answer("COMPLETE", findings=BASIC[1:]), nextToken="2")
    assert list(scan.scan([IMAGE], "CRITICAL")) == [f"{IMAGE}@{DIGEST}: 2 LOW"]


def test_findings_fail_the_check_after_all_images_were_listed(ecr: Stubber) -> None:
    add(ecr, answer("COMPLETE", findings=BASIC))
    add(ecr, answer("ACTIVE", enhancedFindings=ENHANCED))
    lines = scan.scan([IMAGE, IMAGE], "HIGH")
    assert next(lines) == f"{IMAGE}@{DIGEST}: 1 CRITICAL, 1 LOW"
    assert next(lines) == f"{IMAGE}@{DIGEST}: 1 HIGH, 1 UNTRIAGED"
    with pytest.raises(RemoteError, match=r"HIGH or worse: .*ncf-train:1: CVE-1; .*ncf-train:1: CVE-3"):
        next(lines)


def test_an_accepted_finding_does_not(ecr: Stubber) -> None:
    add(ecr, answer("COMPLETE", findings=BASIC))
    assert list(scan.scan([IMAGE], "CRITICAL", ["CVE-1"])) == [f"{IMAGE}@{DIGEST}: 1 CRITICAL, 1 LOW"]


def test_an_image_that_cannot_be_scanned_is_no_success(ecr: Stubber) -> None:
    add(ecr, answer("UNSUPPORTED_IMAGE"))
    with pytest.raises(RemoteError, match="scan is UNSUPPORTED_IMAGE"):
        list(scan.scan([IMAGE], "CRITICAL"))


def test_a_scan_that_never_starts_ends_the_wait(ecr: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "poll", lambda _: iter([0.0]))
    ecr.add_client_error("describe_image_scan_findings", "ScanNotFoundException")
    with pytest.raises(RemoteError, match="not started after 900 s; its repository must scan on push"):
        list(scan.scan([IMAGE], "CRITICAL"))


def test_only_ecr_scans() -> None:
    with pytest.raises(InputError, match=r"'ghcr\.io/ncf-train:1' is not an image in ECR"):
        list(scan.scan(["ghcr.io/ncf-train:1"], "CRITICAL"))


def test_the_command_scans_every_image(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(build, "scan", lambda *given: asked.append(given) or ["a line"])
    registry = IMAGE.partition("/")[0]
    build.main(["scan", "--registry", registry, "--tag", "1", "--fail-on", "HIGH", "--accept", "CVE-1,CVE-2"])
    ((names, severity, accepted),) = asked
    assert names == [f"{registry}/{name}" for name in build.local_images("1")]
    assert (severity, accepted) == ("HIGH", ["CVE-1", "CVE-2"])
    assert capsys.readouterr().out == "a line\n"
