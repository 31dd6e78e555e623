"""Model packages, as the Model Registry describes, lists and changes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model_packages import (
    GROUP_ARN,
    PACKAGE_ARN,
    clients,
    new_group,
    new_package,
    registry_account,
)

from components.local.aws import LocalAws
from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.registry.names import APPROVED, PENDING, REJECTED, check_group
from ncf.sagemaker.registry.package import (
    describe,
    find,
    packages,
)
from ncf.sagemaker.registry.properties import REPORT, RUN


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with registry_account(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def aws(local: LocalAws) -> Aws:
    return clients()


def test_a_package_is_described(aws: Aws) -> None:
    metrics = {"ContentType": "application/json", "S3Uri": "s3://bucket/run/metrics.json"}
    arn = new_package(
        aws,
        new_group(aws, "described"),
        CustomerMetadataProperties={RUN: "run-1", REPORT: "s3://bucket/run/report"},
        ModelMetrics={"ModelQuality": {"Statistics": metrics}},
    )
    package = describe(aws, arn)
    assert package is not None
    assert (package.arn, package.name, package.status) == (arn, "described version 1", PENDING)
    assert package.image == "r.example/ncf-deploy:1.0"
    assert package.model_uri == "s3://bucket/models/m"
    assert (package.run, package.report_uri, package.diff_uri) == ("run-1", "s3://bucket/run/report", "")
    assert package.metrics_uri == "s3://bucket/run/metrics.json"
    assert package.created == package.modified
    assert package.note == ""


def test_the_model_of_an_archive_is_its_uri(aws: Aws) -> None:
    container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    arn = new_package(aws, new_group(aws, "archive"), InferenceSpecification={"Containers": [container]})
    package = describe(aws, arn)
    assert package is not None
    assert package.model_uri == "s3://bucket/model.tar.gz"


def test_packages_are_listed_newest_first_and_by_status(aws: Aws) -> None:
    group = new_group(aws, "listed")
    for number in range(12):
        new_package(aws, group, APPROVED if number in (3, 7) else REJECTED)
    assert [package.version for package in packages(aws, group)] == list(range(12, 0, -1)), "of two pages"
    assert [package.version for package in packages(aws, group, APPROVED)] == [8, 4]
    assert list(packages(aws, "nobody")) == []


def test_a_package_is_found_by_each_of_its_names(aws: Aws) -> None:
    group = new_group(aws, "Found-Group")
    arns = [new_package(aws, group) for _ in range(2)]
    assert arns[0] == f"{PACKAGE_ARN}/found-group/1"
    for text, version in ((arns[0], 1), (f"{group}/1", 1), (f"{group}/2", 2), (group, 2)):
        assert find(aws, text).version == version
    with pytest.raises(InputError, match=r"found-group/9 \(newest versions of 'found-group': 2, 1\)"):
        find(aws, f"{group}/9")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody", "there is no model package group 'nobody' in us-east-1"),
        ("nobody/2", "there is no model package group 'nobody'"),
        ("without-versions", "the model package group 'without-versions' has no versions"),
        ("without-versions/4", f"{PACKAGE_ARN}/without-versions/4 \\('without-versions' has no versions\\)"),
        (f"{PACKAGE_ARN}/nobody/1", f"there is no model package {PACKAGE_ARN}/nobody/1"),
        (f"{GROUP_ARN}/nobody", "is no model package: expected the ARN of a model package version, GROUP/VERSION"),
        ("two words", "expected the ARN"),
        ("group/0", "expected the ARN"),
        ("", "expected the ARN"),
    ],
)
def test_what_is_not_found_is_named(aws: Aws, text: str, words: str) -> None:
    if text == "without-versions":
        new_group(aws, text)
    with pytest.raises(InputError, match=words):
        find(aws, text)
    if text.startswith("arn:") and ":model-package/" in text:
        assert describe(aws, text) is None


def test_other_refusals_of_a_list_are_raised(aws: Aws, local: LocalAws) -> None:
    local.faults.add("refuse", "ListModelPackages", error="AccessDeniedException")
    with pytest.raises(RefusedError, match="AccessDenied"):
        list(packages(aws, "any"))


def test_names_of_groups_are_those_of_aws() -> None:
    assert check_group("ncf-2") == "ncf-2"
    for name in ("", "a_b", "-a", "a-", "x" * 64):
        with pytest.raises(ValueError, match="model package group"):
            check_group(name)
