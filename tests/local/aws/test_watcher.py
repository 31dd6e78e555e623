"""What a process has started ends with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from components.local.aws import engine, watcher

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_SECONDS_BETWEEN_ROUNDS", 0.0)


def test_groups_that_have_not_ended_and_marked_processes_are_killed() -> None:
    group, ended, marked, other = (
        subprocess.Popen(SLEEP, start_new_session=True, env=environment)
        for environment in ({}, {}, {"MARK": "a"}, {"MARK": "ab"})
    )
    try:
        lines = [f"+ group {group.pid}", f"+ group {ended.pid}", f"- group {ended.pid}", "- group 1"]
        watcher._watch("MARK=a", lines)
        assert group.wait(5) == marked.wait(5) == -signal.SIGKILL
        assert ended.poll() is other.poll() is None
    finally:
        for process in (group, ended, marked, other):
            process.kill()
            process.wait()


class Docker:
    """An engine with one container and one network of each label."""

    def __init__(self, *labels: str) -> None:
        self.left = {kind: list(labels) for kind in ("containers", "networks")}
        self.containers, self.networks = (SimpleNamespace(list=self._lister(kind)) for kind in self.left)

    def _lister(self, kind: str) -> Any:
        def found(filters: dict[str, str], **_: Any) -> list[Any]:
            label = filters["label"]
            one = SimpleNamespace(remove=lambda **_: self.left[kind].remove(label))
            return [one] if label in self.left[kind] else []

        return found

    def ping(self) -> None: ...
    def close(self) -> None: ...


def test_containers_and_networks_of_the_label_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Docker("ncf.run=1", "ncf.run=2", "ncf.run=3")
    monkeypatch.setattr(docker, "from_env", lambda **_: fake)
    watcher._watch("MARK=nobody", ["+ label ncf.run=1", "+ label ncf.run=2", "- label ncf.run=2"])
    assert fake.left == {"containers": ["ncf.run=2", "ncf.run=3"], "networks": ["ncf.run=2", "ncf.run=3"]}


def test_an_engine_that_does_not_answer_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise docker.errors.DockerException("nobody answers")

    monkeypatch.setattr(docker, "from_env", broken)
    watcher._watch("MARK=nobody", ["+ label ncf.run=1"])


def test_the_watcher_knows_the_containers_of_a_run_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str, str]] = []
    listener = SimpleNamespace(
        add=lambda kind, name: told.append(("+", kind, name)), remove=lambda kind, name: told.append(("-", kind, name))
    )
    monkeypatch.setattr(docker, "from_env", lambda **_: Docker())
    monkeypatch.setattr(engine, "watcher", lambda: listener)
    started = engine.Engine()
    label = f"{engine.LABEL}={started.run}"
    assert told == [("+", "label", label)]
    started.close()
    assert told == [("+", "label", label), ("-", "label", label)]
