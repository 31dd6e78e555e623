"""A pipeline is uploaded once, and then by versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_kfp import FakeKfp, serving

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("version", [(2, 4), (2, 17)])
def test_a_pipeline_is_made_once_and_then_gets_versions(run: Run, version: tuple[int, int]) -> None:
    kfp = FakeKfp(version=version)
    with serving(kfp) as host:
        code, out, err = run("upload", f"--host={host}", "--version-name=one")
        assert (code, out) == (0, "pipeline pipeline-1\nversion version-1\n")
        assert err == "pipeline 'ncf' has a version 'one'\n"
        assert run("upload", f"--host={host}", "--version-name=two")[1] == "pipeline pipeline-1\nversion version-2\n"
    assert [entry["display_name"] for entry in kfp.pipelines.values()] == ["ncf"]
    assert [entry["display_name"] for entry in kfp.versions.values()] == ["one", "two"]
    assert b"pipelineInfo" in kfp.body("POST /pipelines/upload_version")


def test_a_version_that_is_there_is_named(run: Run) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        run("upload", f"--host={host}", "--version-name=one")
        code, out, err = run("upload", f"--host={host}", "--version-name=one")
    assert (code, out) == (2, "")
    assert "version_name: pipeline 'ncf' (pipeline-1) already has a version 'one' (version-1)" in err
    assert len(kfp.versions) == 1


def test_a_version_is_called_as_the_images_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.build.current_tag", lambda: "0123456789ab")
    kfp = FakeKfp(multi_user=True)
    flags = ["--namespace=team", "--pipeline=recommend", "--pipeline-name=nightly"]
    with serving(kfp) as host:
        assert run("upload", f"--host={host}", *flags)[0] == 0
    assert kfp.versions["version-1"]["display_name"] == "0123456789ab"
    assert kfp.pipelines["pipeline-1"] == {
        "display_name": "nightly",
        "name": "nightly",
        "namespace": "team",
        "pipeline_id": "pipeline-1",
    }


@pytest.mark.parametrize("route", ["/pipelines", "/pipelines/upload_version"])
def test_nothing_is_uploaded_without_an_id(run: Run, route: str) -> None:
    def gate(_: object, path: str) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {}, b"{}") if path.partition("?")[0].endswith(route) else None

    with serving(FakeKfp(), gate) as host:
        code, out, err = run("upload", f"--host={host}", "--version-name=one")
    assert (code, out) == (2, "")
    assert "returns no ID" in err
