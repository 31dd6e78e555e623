"""Push of images: what the registry holds afterwards is what SageMaker accepts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_docker import CLASSIC_STORE, CONTAINERD_STORE, FakeDocker

from images import build
from images.push import push
from ncf.aws.manifests import DOCKER_MANIFEST
from ncf.errors import InputError, RemoteError

AMD64 = [{"architecture": "amd64", "os": "linux"}]
NAME, REGISTRY = "ncf-train:1", "123456789012.dkr.ecr.us-east-1.amazonaws.com/team"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    made = FakeDocker(tmp_path)
    made.install(monkeypatch, CLASSIC_STORE, has_buildx=True)
    made.held = {"Descriptor": {"mediaType": DOCKER_MANIFEST}, "Platforms": AMD64}
    with made.api(monkeypatch):
        yield made


def test_what_the_registry_holds_is_checked(docker: FakeDocker) -> None:
    assert push([NAME], f"{REGISTRY}/") == [f"{REGISTRY}/{NAME}"]
    assert docker.inspected == [f"{REGISTRY}/{NAME}"]
    assert docker.commands("push") == [f" push {REGISTRY}/{NAME}"]


@pytest.mark.parametrize(
    ("media_type", "platforms", "words"),
    [
        ("application/vnd.oci.image.manifest.v1+json", AMD64, "an image in another format"),
        ("application/vnd.oci.image.index.v1+json", AMD64, "an index of images"),
        ("application/vnd.docker.distribution.manifest.list.v2+json", AMD64, "an index of images"),
        (DOCKER_MANIFEST, [{"architecture": "arm64", "os": "linux"}], "it is built for arm64"),
    ],
)
def test_what_sagemaker_refuses_fails_the_push(
    docker: FakeDocker, media_type: str, platforms: list[dict[str, str]], words: str
) -> None:
    docker.held = {"Descriptor": {"mediaType": media_type}, "Platforms": platforms}
    with pytest.raises(InputError, match=rf"{REGISTRY}/{NAME}: .*{words}.*'make images push'"):
        push([NAME], REGISTRY)


def test_a_registry_that_does_not_answer_is_named(docker: FakeDocker) -> None:
    docker.held = {}
    with pytest.raises(RemoteError, match=r"ncf-train:1 is pushed, but the registry .*: manifest unknown"):
        push([NAME], REGISTRY)


def test_containerds_store_pushes_one_platform(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the option it may push an index."""
    docker.install(monkeypatch, CONTAINERD_STORE, has_buildx=True)
    push([NAME], REGISTRY)
    assert docker.commands("push") == [f" push --platform linux/amd64 {REGISTRY}/{NAME}"]


MISSING = "name unknown: The repository with name 'ncf-train' does not exist in the registry with id '123456789012'"
IMMUTABLE = (
    "tag invalid: The image tag '1' already exists in the 'ncf-train' repository and cannot be overwritten because the "
    "tag is immutable."
)


def test_a_missing_repository_names_the_stack_that_makes_it(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_REFUSAL", MISSING)
    with pytest.raises(InputError, match=r"'ncf-train' does not exist .*deploy components/cluster/setup\.yaml"):
        push([NAME], REGISTRY)


def test_a_tag_that_is_taken_is_refused(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_REFUSAL", IMMUTABLE)
    with pytest.raises(InputError, match=r"cannot be overwritten .*another TAG"):
        push([NAME], REGISTRY)


def test_a_push_of_a_commit_that_was_interrupted_can_be_repeated(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_REFUSAL", IMMUTABLE)
    assert push([NAME], REGISTRY, is_of_commit=True) == [f"{REGISTRY}/{NAME}"]
    assert f"{REGISTRY}/{NAME} was pushed before" in capsys.readouterr().err
    assert docker.inspected == [f"{REGISTRY}/{NAME}"]


@pytest.mark.parametrize(
    ("tag", "is_of_commit"), [("0123456789ab", True), ("0123456789ab-dirty", False), ("2026-11", False)]
)
def test_only_the_tag_of_a_commit_may_be_there_before(
    monkeypatch: pytest.MonkeyPatch, tag: str, is_of_commit: bool
) -> None:
    asked: list[tuple[str, bool]] = []

    def pushed(names: list[str], registry: str, given: bool) -> list[str]:
        asked.append((registry, given))
        return names

    monkeypatch.setattr(build, "current_tag", lambda: tag if "2026" not in tag else "0123456789ab")
    monkeypatch.setattr(build, "push", pushed)
    build.main(["push", "--registry", REGISTRY, "--tag", tag])
    assert asked == [(REGISTRY, is_of_commit)]
