"""Commands of READMEs that run the pipeline, or a stage of it, on this machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from readmes import READMES, Command, commands, text_of

import pipeline
from components.compiling.parameters_check import names_in_pipeline
from components.local import run as local_run
from tests.readmes.conftest import Sandbox

SHORT = "model=gmf epochs=3 factors=16 gate_not_worse_than=none"
"""Parameters that shorten a run, from the environment: the command stays as it is."""
_SLOWER = "epochs=3 factors=8 tower=[16,8] dropout=0.1 batch_size=10000"
"""Parameters of a fit that leaves time for an interruption: no compiled step."""
WAIT_SECONDS = 60


class LocalRuns:
    """Runs on this machine of the commands of one README.

    Args:
        sandbox: where they run.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def make_run(self, command: Command) -> None:
        """The run of the page deploys a model, and leaves what READMEs say."""
        run = self._output("output/run")
        self.sandbox.run(command.text, PARAMS=SHORT)
        summary = json.loads((run / "summary.json").read_text())
        assert summary["endpoint"], summary["gate_checks"]
        for readme in READMES:
            for name in re.findall(r"output/run/([\w.-]*\w)", text_of(readme)):
                assert (run / name).exists(), f"{readme}: {name}"

    def run_with_parameters(self, command: Command) -> None:
        """The parameters of the command reach the stages, whose names of them have no prefix."""
        words = [word for text in shlex.split(command.text) for word in text.split()]
        assignments = [word.removeprefix("PARAMS=").partition("=") for word in words if re.search(r"[a-z_]=", word)]
        given = {name.removeprefix("data_"): value for name, _, value in assignments}
        run = self._output(words[words.index("--output") + 1] if "--output" in words else "output/run")
        self.sandbox.run(command.text)
        manifest = json.loads((run / "model" / "manifest.json").read_text())
        settings = {**manifest["source"]["dataset"]["parameters"], **manifest["parameters"]}
        assert given, command
        for name, value in given.items():
            assert str(settings[name]).lower() == value or float(settings[name]) == float(value), name

    def preprocess(self, command: Command) -> None:
        """The stage of the run that the command sets parameters of."""
        request = _request(self._recipe(command))
        self._stage("preprocess", {"interactions": request.data, **_given_to("preprocess", request)})

    def fit(self, command: Command) -> None:
        """The training of the run, on what earlier commands of the page have left."""
        inputs = {"dataset": "output/preprocess/dataset", "samples": "output/negative_sampling/samples"}
        self._stage("fit", {**inputs, **_given_to("train", _request(self._recipe(command)))})

    def _stage(self, name: str, parameters: Mapping[str, Any]) -> None:
        pairs = [(f"--{parameter.replace('_', '-')}", str(value)) for parameter, value in parameters.items()]
        self.sandbox.run(shlex.join([".venv/bin/ncf", name, *(word for pair in pairs for word in pair)]))

    def run_with_faults(self, command: Command) -> None:
        """The faults happen, and the run succeeds."""
        run = self._output("output/run")
        printed = self.sandbox.run(f"{command.text} --params '{_SLOWER}'")
        assert "refused describe_training_job" in printed
        assert "resuming in epoch" in printed
        assert (run / "summary.json").exists()

    def run_until_interrupted(self, command: Command) -> None:
        """The endpoint has a page and answers the printed request, until Ctrl-C."""
        run = self._output(dict(re.findall(r"(OUTPUT)=(\S+)", command.text))["OUTPUT"])
        environment = {**self.sandbox.environment, "PARAMS": SHORT}
        with subprocess.Popen(
            shlex.split(command.text),
            cwd=self.sandbox.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line)
                if line.startswith("Ctrl-C"):
                    break
            (page,) = re.findall(r"browser: (\S+)", "".join(printed))
            (request,) = [line for line in printed if "curl" in line]
            with urllib.request.urlopen(page, timeout=10) as answer:
                assert "text/html" in answer.headers["content-type"]
            assert json.loads(self.sandbox.run(request))["recommendations"]
            os.killpg(process.pid, signal.SIGINT)
            told, _ = process.communicate(timeout=WAIT_SECONDS)
        assert "Stopping the endpoint" in told
        assert (run / "model").exists()

    def run_without_make(self, command: Command) -> None:
        """The command is what ``make`` runs for another command of the page."""
        (twin,) = [
            other for other in commands(command.readme) if re.fullmatch(r"make run .*data_min_rating.*", other.text)
        ]
        assert _request(self._recipe(twin)) == _request(shlex.split(command.text)[2:])

    def _recipe(self, command: Command) -> list[str]:
        """Arguments of ``pipeline.py`` in the recipe of a target."""
        recipe = self.sandbox.run(re.sub(r"^make", "make --dry-run", command.text)).replace("\\\n", " ")
        return shlex.split(recipe)[2:]

    def _output(self, name: str) -> Path:
        """Path at which a run leaves its link; the model of the sandbox makes room for it."""
        model = self.sandbox.folder / name / "model"
        if model.exists() and not model.parent.is_symlink():
            model.rename(self.sandbox.folder / "random-model")
            model.parent.rmdir()
        return model.parent


def _given_to(stage: str, request: Any) -> dict[str, Any]:
    """Parameters of a run by the names that a stage has for them."""
    names = names_in_pipeline(pipeline.ncf_pipeline.pipeline_spec)
    fields = {stages[stage]: field for field, stages in names.items() if stage in stages}
    given = dict(request.arguments)
    overrides = given.pop(f"{stage}_overrides", {})
    return {**{fields[name]: value for name, value in given.items()}, **overrides}


def _request(arguments: list[str]) -> Any:
    """Request of ``pipeline.py run``."""
    requests: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_run, "run", lambda *arguments: requests.append(arguments[1]))
        pipeline.main(arguments)
    (request,) = requests
    return request
