"""Builds make images of one platform with Docker's manifest types, by whatever builder there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_docker import CLASSIC_STORE, CONTAINERD_STORE, FakeDocker

from images import build
from ncf.errors import InputError


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    monkeypatch.setattr(build, "_prepare_context", lambda _: None)
    return FakeDocker(tmp_path)


ALWAYS = ["--platform linux/amd64"]
BUILDKIT = [*ALWAYS, "--provenance=false", "--sbom=false"]


@pytest.mark.parametrize(
    ("store", "has_buildx", "expected"),
    [
        (CLASSIC_STORE, False, ["0 build ", *ALWAYS]),
        (CLASSIC_STORE, True, ["1 build ", *BUILDKIT]),
        (CONTAINERD_STORE, True, ["1 build ", *BUILDKIT, "--output type=image,oci-mediatypes=false"]),
    ],
)
def test_each_image_has_one_platform_and_dockers_manifest(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, store: Any, has_buildx: bool, expected: list[str]
) -> None:
    docker.install(monkeypatch, store, has_buildx)
    build.build_all(build.Build("1"))
    commands = docker.commands("build")
    assert len(commands) == 1 + len(build.FOLDERS) + len(build.PODS)
    for command in commands:
        assert [words for words in expected if words not in command] == []


def test_all_images_except_the_base_know_their_commit(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.install(monkeypatch, CLASSIC_STORE, has_buildx=False)
    monkeypatch.setattr(build, "current_tag", lambda: "0123abc")
    build.build_all(build.Build("1"))
    told = [command for command in docker.commands("build") if "--build-arg COMMIT=0123abc" in command]
    assert len(told) == len(docker.commands("build")) - 1
    assert not [command for command in told if "ncf-base:" in command and "BASE=" not in command]
    for folder in build.FOLDERS:
        lines = (build.ROOT / "images" / folder / "Dockerfile").read_text().splitlines()
        assert lines.index("ENV NCF_COMMIT=${COMMIT}") > lines.index("RUN /opt/ncf-install/install --ncf")


def test_a_builder_that_writes_oci_manifests_only_is_refused(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.install(monkeypatch, CONTAINERD_STORE, has_buildx=False)
    with pytest.raises(InputError, match=r"containerd's store.*docker-buildx, or set .*containerd-snapshotter"):
        build.build_all(build.Build("1"))
    assert docker.commands("build") == []
