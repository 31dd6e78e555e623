from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kfp
import pytest
from fake_kfp import ROLE

import pipeline
from components.cluster import client, submission

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine is no pod, and nobody has logged in to any KFP; waiting takes no time."""
    for name in ("NCF_KFP_TOKEN", "NCF_KFP_COOKIE", "KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KUBERNETES_SERVICE_HOST", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "none"))
    monkeypatch.setattr(client, "_POD_NAMESPACE", tmp_path / "none")
    monkeypatch.setattr(submission, "_SECONDS_BETWEEN_LOOKS", 0.01)
    # the committed package will do here, whose images are nowhere
    monkeypatch.setattr(submission, "DEFAULT_REGISTRY", "not.this.one")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``pipeline.py``: its exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            pipeline.main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def required() -> list[str]:
    """What a run needs, and nothing to warn of."""
    given = ("data_uri=s3://bucket/in/ratings.csv", f"train_role={ROLE}", f"deploy_role={ROLE}")
    return [*(f"--param={each}" for each in given), "--pipeline-root=s3://bucket/root"]
