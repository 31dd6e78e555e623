"""Each command in each README runs as it is written, page by page.

A command runs in a copy of the checkout (``conftest.py``), with small data, a stand-in for a cluster and the stand-in for
AWS. ``RUNS`` says how, ``NOT_RUN`` says why a command is only parsed. A command in neither of them fails.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import aws_commands
import boto3
import pytest
import yaml
from account_fixtures import set_environment
from fake_account import Account
from fake_kfp import FakeKfp, serving
from live_server import live
from local_account import local_account
from random_model import random_model
from readmes import READMES, ROOT, Command, blocks, commands
from runs import PREFIX, deploy, register

import pipeline
from components.local import recommend as local_recommend
from components.local import run as local_run
from images import build
from ncf.operators.checks import account as checked_account
from ncf.stage import command as ncf_command
from ncf.stage.parsing import parse
from tests.cluster.conftest import no_cluster
from tests.readmes.conftest import Sandbox
from tests.readmes.local_runs import SHORT, WAIT_SECONDS, LocalRuns

__all__ = ["no_cluster"]

_KFP = {"https://kubeflow.example.com/pipeline": True, "http://localhost:8888": False}
"""Addresses of KFP in READMEs, and whether it is a multi-user cluster."""
_SERVER = "localhost:8080"
_SHORT_TRAINING = {"train_model": "gmf", "train_epochs": 3, "gate_not_worse_than": "none"}
_RUN_ID = "4c1d0f0e-6f0c-4f5e-9d53-0b2f3a1c7d11"


class Page(LocalRuns):
    """One README while its commands run.

    Args:
        sandbox: where they run.
        patch: environment, working directory and modules of this process.
        stack: closes what was started.
    """

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        super().__init__(sandbox)
        self.patch, self.stack = patch, stack
        self.hosts: dict[str, str] = {}
        self.deployed: set[tuple[str, str]] = set()
        self.server = ""
        self.account = self.is_sourced = False
        self.watch: subprocess.Popen[str] | None = None

    def run(self, command: Command) -> str:
        return self.sandbox.run(command.text)

    def export(self, command: Command) -> None:
        for assignment in shlex.split(command.text)[1:]:
            name, _, value = assignment.partition("=")
            self.sandbox.environment[name] = value

    def examine(self, command: Command) -> None:
        """``ncf doctor`` on accounts and a KFP in which all is well."""
        set_environment(self.patch)
        self.patch.setenv("NO_PROXY", "*")
        self.patch.setenv("PATH", self.sandbox.environment["PATH"])
        self.patch.setenv("CALLS", str(self.sandbox.calls))
        self.patch.setattr(checked_account, "Aws", Account().open)
        self.patch.chdir(self.sandbox.folder)
        words = self.sandbox.words(command.text)
        hosts = {host: self.stack.enter_context(serving(FakeKfp())) for host in _KFP if host in words}
        printed = io.StringIO()
        with redirect_stdout(printed):
            ncf_command.main([hosts.get(word, word) for word in words[1:]])
        assert printed.getvalue().endswith("all checks passed\n"), printed.getvalue()

    def serve(self, command: Command) -> None:
        """The server becomes healthy, shows the page if it was asked for, and stops."""
        process = subprocess.Popen(
            [*self.sandbox.words(command.text), "--port", "0"],
            cwd=self.sandbox.folder,
            env=self.sandbox.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            _until_healthy(address)
            if "--page true" in command.text:
                with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
                    assert "text/html" in answer.headers["content-type"]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WAIT_SECONDS)
            assert process.returncode in (0, -signal.SIGTERM, 143)
        finally:
            process.kill()
            process.wait()

    def request(self, command: Command) -> None:
        """A model that knows all ids answers, so that no list is popularity's."""
        if not self.server:
            self.server = f"127.0.0.1:{self.stack.enter_context(live(random_model(n_users=50))).port}"
        assert _SERVER in command.text
        answer = self.sandbox.run(command.text.replace(_SERVER, self.server))
        assert answer
        assert not any(word in answer for word in ("error", "popular", "unknown", "null")), answer

    def cluster(self, command: Command) -> None:
        """``pipeline.py`` in this process, against a fake of KFP."""
        self._write_files(command)
        words = self.sandbox.words(command.text)
        (host,) = [word for word in words if word in _KFP]
        if host not in self.hosts:
            self.hosts[host] = self.stack.enter_context(serving(FakeKfp(multi_user=_KFP[host])))
        self.patch.chdir(self.sandbox.folder)
        pipeline.main([self.hosts[host] if word == host else word for word in words[2:]])

    def check(self, command: Command) -> None:
        """``pipeline.py check`` on a file that a page shows."""
        self._write_files(command)
        assert self.sandbox.run(command.text)

    def show_metrics(self, command: Command) -> None:
        """``pipeline.py metrics`` of a run on this machine."""
        metrics = {"gate_passed": 1.0, "candidates": 99.0, "full_ndcg_at_10": 0.16}
        (self.sandbox.folder / "output" / "run" / "summary.json").write_text(json.dumps({"metrics": metrics}))
        assert "| this model | 0.1600 |" in self.sandbox.run(command.text)

    def _write_files(self, command: Command) -> None:
        """Files of a command that a page shows: a run, and manifests by their name."""
        for word in self.sandbox.words(command.text):
            path = self.sandbox.folder / word.rpartition("=")[2]
            if path.suffix == ".yaml" and not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_text(_shown(path))

    def verify(self, command: Command) -> None:
        """A model that is as its manifest says."""
        assert self.sandbox.run(command.text).endswith("same bytes\n")

    def operate(self, command: Command) -> None:
        """Against the account of the page, or one with an endpoint that two runs have updated, each with a package."""
        if self.is_sourced:
            self.sandbox.run(command.text)
            return
        self._open_account()
        self.patch.chdir(self.sandbox.folder)
        ncf_command.main(self.sandbox.words(command.text)[1:])

    def deploy(self, command: Command) -> None:
        """Another version of the model, and then the command as it is written."""
        random_model(seed=5).save(self.sandbox.folder / "before", {}, {})
        for text in (command.text.replace("output/run/model", "before"), command.text):
            self.operate(dataclasses.replace(command, text=text))

    def _open_account(self) -> None:
        if self.account:
            return
        folder = self.sandbox.folder / "account"
        folder.mkdir()
        account = self.stack.enter_context(local_account(folder, ROOT / "images" / "deploy" / "serve"))
        account.create_bucket("my-bucket")
        for run, seed in (("first", 1), (_RUN_ID, 2)):
            deploy(folder, "ncf-shop", run, seed, "--data-capture-s3-uri", f"{PREFIX}/captured")
            register(folder, "ncf", run, seed, "--release", "on_approval")
        self.sandbox.environment |= {**account.environment, "RUN_ID": _RUN_ID}
        self.account = True

    def start_account(self, command: Command) -> None:
        """``make aws`` in another terminal, until the end of the page."""
        process = subprocess.Popen(
            shlex.split(command.text),
            cwd=self.sandbox.folder,
            env=self.sandbox.environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        self.stack.callback(process.communicate, timeout=WAIT_SECONDS)
        self.stack.callback(os.killpg, process.pid, signal.SIGINT)
        assert any(line.startswith("Ctrl-C") for line in process.stdout)

    def start_watch(self, command: Command) -> None:
        """``make watch`` in another terminal, until the end of the page: the runs of its events succeed."""
        rules = self.sandbox.folder / "components" / "local" / "triggers.yaml"
        short = "".join(f"      {name}: {value}\n" for name, value in _SHORT_TRAINING.items())
        rules.write_text(
            rules.read_text().replace("      release: on_approval\n", f"      release: on_approval\n{short}")
        )
        process = subprocess.Popen(
            shlex.split(command.text),
            cwd=self.sandbox.folder,
            env=self.sandbox.environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.watch = process
        self.stack.callback(process.communicate, timeout=WAIT_SECONDS)
        self.stack.callback(os.killpg, process.pid, signal.SIGINT)
        self.stack.callback(self._await_run, "release ncf/3")
        self._await_line("Ctrl-C ends it")

    def upload(self, command: Command) -> None:
        """``aws s3 cp`` by boto3, and the run that it starts."""
        *_, file, target = shlex.split(command.text)
        environment = self.sandbox.environment
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        bucket, _, prefix = target.removeprefix("s3://").partition("/")
        client.upload_file(str(self.sandbox.folder / file), bucket, f"{prefix}{file}")
        self._await_run("new-data")

    def _await_run(self, name: str) -> None:
        self._await_line(f"Run '{name} ", "has succeeded")

    def _await_line(self, *parts: str) -> None:
        assert self.watch is not None
        assert self.watch.stdout is not None
        printed = []
        for line in self.watch.stdout:
            printed.append(line)
            if all(part in line for part in parts):
                return
        pytest.fail("".join(printed))

    def run_on_account(self, command: Command) -> None:
        """A short run on the account of ``make aws``."""
        self._output("output/run")
        given = re.findall(r"\w+(?==)", command.text)
        short = " ".join(assignment for assignment in SHORT.split() if assignment.partition("=")[0] not in given)
        text = re.sub(r'PARAMS="?([^"]*)"?', rf'PARAMS="{short} \1"', command.text)
        assert "what is made there outlives this run" in self.sandbox.run(text)

    def source(self, command: Command) -> None:
        """Later commands of the page are for the account of ``make aws``."""
        printed = self.sandbox.run(f"{command.text} && env")
        self.sandbox.environment |= dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
        self.is_sourced = True

    def compile_example(self, command: Command) -> None:
        """``pipeline.py older`` on the pipeline of the page."""
        example = next(block for block in blocks(command.readme) if "own.yaml" in block.content)
        (self.sandbox.folder / "own.py").write_text(example.content)
        self.sandbox.run(".venv/bin/python own.py")
        self.run(command)

    def check_triggers(self, command: Command) -> None:
        """``pipeline.py triggers`` on the rules of the page."""
        rules = next(block for block in blocks(command.readme) if block.content.startswith("rules:"))
        (self.sandbox.folder / "triggers.yaml").write_text(rules.content)
        self.run(command)

    def tool(self, command: Command) -> None:
        """``aws``, ``kubectl`` and ``gh``, as stand-ins that record how they are called; what they name must exist."""
        self._write_files(command)
        if "token.txt" in command.text:
            (self.sandbox.folder / "token.txt").write_text("a token")
        before = len(self.sandbox.calls_of_tools())
        self.run(command)
        calls = self.sandbox.calls_of_tools()[before:]
        assert calls
        for name, *arguments in calls:
            flags = {flag: value for flag, value in zip(arguments, arguments[1:]) if flag.startswith("-")}
            if name == "kubectl" and "apply" in arguments:
                manifests = list(yaml.safe_load_all((self.sandbox.folder / flags["-f"]).read_text()))
                assert manifests
                assert all(manifest["kind"] for manifest in manifests)
            if name == "aws":
                aws_commands.check(arguments)
            if name == "aws" and "deploy" in arguments:
                template = yaml.safe_load((self.sandbox.folder / flags["--template-file"]).read_text())
                given = {word.partition("=")[0] for word in arguments if re.match(r"[A-Z]\w+=", word)}
                parameters = template.get("Parameters", {})
                required = {name for name, entry in parameters.items() if "Default" not in entry}
                assert given <= set(parameters)
                key = flags["--stack-name"], flags["--template-file"]
                assert key in self.deployed or required <= given  # an update keeps the values of the others
                self.deployed.add(key)


def _shown(path: Path) -> str:
    """Content of a file that a page shows in a block of YAML."""
    for readme in READMES:
        for block in blocks(readme):
            content = yaml.safe_load(block.content) if block.language == "yaml" else {}
            if content.get("metadata", {}).get("name") == path.stem or (
                "pipeline" in content and path.parent.name == "runs"
            ):
                return block.content
    raise AssertionError(f"no page shows {path.name}")


def _until_healthy(address: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=10):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


_NCF = r"\.venv/bin/ncf "
_PIPELINE = r"\.venv/bin/python pipeline\.py "
RUNS: Mapping[str, Callable[[Page, Command], Any]] = {
    r"export .*": Page.export,
    r"make (help|pipeline|pipeline REGISTRY=.*)": Page.run,
    r"make recommend .*": Page.run,
    r"make aws": Page.start_account,
    r"make watch": Page.start_watch,
    r"aws s3 cp .*": Page.upload,
    _PIPELINE + r"triggers .*": Page.check_triggers,
    r"make run PARAMS=.*": Page.run_on_account,
    r"make release( .*)?": Page.run,
    r"make monitor( .*)?": Page.run,
    r"\. output/aws/environment": Page.source,
    r"make run": Page.make_run,
    r'make run DATA=\S+ PARAMS="epochs=.*': Page.run_with_parameters,
    r'make run DATA=\S+ PARAMS="data_.*': Page.preprocess,
    r'make run DATA=\S+ PARAMS="model=neumf pretrain=.*': Page.fit,
    r"make run DATA=.* KEEP_ENDPOINT=1": Page.run_until_interrupted,
    _NCF
    + r"(preprocess|negative-sampling|fit|evaluate|recommend|show|export|forget --users \S+ --forgotten-uri) .*": Page.run,
    _NCF + r"forget .* --scan .*": Page.run,
    _NCF + r"verify .*": Page.verify,
    _NCF + r"--help": Page.run,
    _NCF + r"serve .*": Page.serve,
    _NCF + r"(models|diff|approve|reject|rollback|experiment|stop-jobs|clean)( .*)?": Page.operate,
    _NCF + r"deploy .*": Page.deploy,
    _NCF + r"doctor .*": Page.examine,
    _PIPELINE + r"run --data ratings\.csv --param .*": Page.run_without_make,
    _PIPELINE + r"run --data .* --output .*": Page.run_with_parameters,
    _PIPELINE + r"run .*--fault .*": Page.run_with_faults,
    _PIPELINE + r"older .*": Page.compile_example,
    _PIPELINE + r"(submit|upload|schedule) .*": Page.cluster,
    r"(printf .* \| )?curl .*": Page.request,
    _PIPELINE + r"check .*": Page.check,
    _PIPELINE + r"metrics .*": Page.show_metrics,
    r"(aws (?!s3 cp)|kubectl |gh ).*": Page.tool,
}
"""Command (regular expression) -> how it runs."""

NOT_RUN: Mapping[str, str] = {
    r"make run DATA=\S+ ITEMS=.*": "components/local/README.md runs these data and titles, by 'pipeline.py run'",
    r"make run KEEP_ENDPOINT=1": "the first README keeps the endpoint of a run with data until Ctrl-C",
    r"make run EXECUTOR=docker": "needs Docker: tests/images/test_run.py runs in containers",
    r"make scan": "needs ECR: tests/images/test_scan.py runs it with its answers",
    r"make images.*": "needs Docker and minutes: 'make test-images' begins with it",
    r"make (test-images|check-local-mode)": "needs Docker: .ci/images runs the first of them",
    r"make test(-slow)?": "would run itself",
    r"make (component|test) (NAME|ARGS)=.*": "tests/components/test_scaffold.py follows this section to the letter",
    r"make lint": ".ci/run runs it",
    r"make (bench|bench-serving|bench-multi-model|fuzz-serving .*)": "measures for minutes, on a machine without other work",
    r"\.venv/bin/python -m ncf\.training\.kernel\.building": "compiles for 10 s: tests/training/test_building.py does",
    r"\.github/kind/run .*": "needs kind: tests/kind/test_run.py runs it with stand-ins for its tools",
}
"""Command (regular expression) -> why it is only parsed."""


def _rules_of(command: Command) -> list[str]:
    return [rule for rules in (RUNS, NOT_RUN) for rule in rules if re.fullmatch(rule, command.text)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("readme", READMES)
def test_commands_run(readme: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, on which later commands need what earlier ones leave."""
    with ExitStack() as stack:
        page = Page(sandbox, monkeypatch, stack)
        for command in commands(readme):
            rules = _rules_of(command)
            assert len(rules) == 1, f"{command}\nis in {rules or 'no table of tests/readmes/test_commands.py'}"
            try:
                if rules[0] in RUNS:
                    RUNS[rules[0]](page, command)
                else:
                    _parse(command, sandbox, monkeypatch)
            except (Exception, SystemExit) as error:
                pytest.fail(f"{command}\n{error!r}\n{error}")


@pytest.mark.parametrize("rule", [*RUNS, *NOT_RUN])
def test_each_rule_is_for_a_command(rule: str) -> None:
    assert any(re.fullmatch(rule, command.text) for readme in READMES for command in commands(readme))


def _parse(command: Command, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
    """Parse a command completely: its targets, and the arguments of each of our programs that it starts."""
    program, *arguments = sandbox.words(command.text)
    if program == "make":
        _parse_make(sandbox, command, patch)
    elif program == ".venv/bin/ncf":
        parse(ncf_command.load(arguments[0]), arguments[1:])
    elif program == ".venv/bin/python":
        _parse_python(arguments, sandbox, patch)
    else:
        assert os.access(ROOT / program, os.X_OK)
        subprocess.run(["bash", "-n", program], cwd=ROOT, check=True)


def _parse_make(sandbox: Sandbox, command: Command, patch: pytest.MonkeyPatch) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in shlex.split(command.text):
        if name := re.match(r"(\w+)=", word):
            assert f"$({name[1]})" in makefile, f"the Makefile has no variable {name[1]}"
    recipe = sandbox.run(re.sub(r"^make", "make --dry-run", command.text)).replace("\\\n", " ")
    started = re.findall(r'^(?:\w+="[^"]*" )*(\.venv/bin/\S+)(.*)$', recipe, re.MULTILINE)
    assert started, recipe
    for program, arguments in started:
        assert (sandbox.folder / program).is_file(), program
        if program == ".venv/bin/python":
            _parse_python(shlex.split(arguments), sandbox, patch)


def _parse_python(arguments: list[str], sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
    if arguments[0] == "pipeline.py":
        for module in (local_run, local_recommend):
            patch.setattr(module, "run", lambda *_: {})
        patch.chdir(sandbox.folder)
        pipeline.main(arguments[1:])
    elif arguments[:2] == ["-m", "images.build"]:
        for name in ("build_all", "_print_table", "push", "scan"):
            patch.setattr(build, name, lambda *_: {})
        build.main(arguments[2:])
    elif arguments[:2] == ["-m", "tests.benchmarks"]:
        assert all((ROOT / "tests" / "benchmarks" / f"bench_{name}.py").is_file() for name in arguments[2:])
    else:
        option, module, *_ = arguments
        assert option == "-m"
        assert importlib.util.find_spec(module), module
