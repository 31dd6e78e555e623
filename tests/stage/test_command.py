"""The command line: parsing, outputs whole or not at all, KFP's executor output."""

from __future__ import annotations

import errno
import io
import json
import signal
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from ncf.errors import InputError
from ncf.stage import command, execution, exits, parsing
from ncf.stage.declaration import Input, Output, OutputParameter, Stage
from ncf.stage.registry import load_stage


class Sum(Stage):
    """Adds numbers.

    A stage for tests.
    """

    numbers: str = Input("Dataset", "A file with a number a line")
    start: int = Field(0, ge=0, lt=10, description="Where to begin, units")
    widths: list[int] = Field([2, 1], description="Widths")
    mode: Literal["plain", "fancy"] = Field("plain", description="Mode")
    fail: str = Field("", description="Error to end with")
    total: Path = Output("Metrics", "The sum")
    even: Path = OutputParameter(bool, "Whether the sum is even")

    def run(self) -> Mapping[str, str] | None:
        total = self.start + sum(map(int, Path(self.numbers).read_text().split()))
        self.total.write_text(json.dumps({"total": total, "label": "x", "infinite": float("inf")}))
        if self.fail == "disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(self.total))
        if self.fail == "input":
            raise InputError("numbers: too odd")
        if self.fail == "forget":
            return None
        self.even.write_text(json.dumps(total % 2 == 0))
        return {"total": "s3://elsewhere/total"} if self.fail == "elsewhere" else None


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    path.write_text("1\n2\n")
    return path


def arguments(numbers: Path, folder: Path, *more: str) -> list[str]:
    return [
        "--numbers",
        str(numbers),
        "--total",
        str(folder / "total"),
        "--even",
        str(folder / "even"),
        *more,
    ]


def test_outputs_are_published(numbers: Path, tmp_path: Path) -> None:
    execution.run(Sum, arguments(numbers, tmp_path / "out", "--start", "5"))
    assert json.loads((tmp_path / "out" / "total").read_text())["total"] == 8
    assert (tmp_path / "out" / "even").read_text() == "true"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["even", "total"]


def test_the_log_says_where_outputs_are(numbers: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    execution.run(Sum, arguments(numbers, tmp_path / "out"))
    assert caplog.messages == [f"sum has written total {tmp_path}/out/total, even {tmp_path}/out/even"]


@pytest.mark.parametrize(("fail", "expected"), [("input", InputError), ("disk", OSError), ("forget", RuntimeError)])
def test_a_failing_stage_leaves_nothing(fail: str, expected: type[Exception], numbers: Path, tmp_path: Path) -> None:
    with pytest.raises(expected):
        execution.run(Sum, arguments(numbers, tmp_path / "out", "--fail", fail))
    assert not (tmp_path / "out").exists()


def test_a_failing_stage_keeps_what_an_earlier_run_wrote(numbers: Path, tmp_path: Path) -> None:
    execution.run(Sum, arguments(numbers, tmp_path / "out"))
    with pytest.raises(InputError):
        execution.run(Sum, arguments(numbers, tmp_path / "out", "--fail", "input", "--start", "1"))
    assert json.loads((tmp_path / "out" / "total").read_text())["total"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--start", "12"], r"parameter 'start' is 12: input should be less than 10"),
        (["--start", "many"], r"parameter 'start' is 'many': expected a whole number"),
        (["--mode", "bold"], r"mode.*'plain'.*'fancy'"),
        (["--strat", "1"], r"unrecognized arguments: --strat 1; did you mean --start\?; 'ncf sum --help' lists"),
        (["--strat=1", "--mod=x"], r"--strat=1 --mod=x; did you mean --start for --strat, --mode for --mod\?"),
        (["--zzz", "1"], r"unrecognized arguments: --zzz 1; 'ncf sum --help' lists"),
        (["--start"], r"--start: expected one argument"),
    ],
)
def test_bad_arguments_are_named(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsing.parse(Sum, ["--numbers", "x", *given])


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputError, match="--numbers is required"):
        parsing.parse(Sum, [])


def test_values_as_kfp_and_sagemaker_pass_them() -> None:
    stage = parsing.parse(Sum, ["--numbers", "x", "--widths", "[64.0, 32.0]", "--start", "3", "--fail", ""])
    assert isinstance(stage, Sum)
    assert (stage.widths, stage.start, stage.fail) == ([64, 32], 3, "")


def test_the_environment_sets_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("START", "7")
    stage = parsing.parse(Sum, ["--numbers", "x"])
    assert isinstance(stage, Sum)
    assert stage.start == 0


def test_help_tells_description_bounds_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        parsing.parse(Sum, ["--help"])
    assert leave.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Where to begin, units (0 <= value < 10) (default: 0)" in text
    assert "{plain,fancy}" in text


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("preprocess", "Minimum rating of a positive interaction (default: 0.0) (in the pipeline: data_min_rating)"),
        ("train", "(1 <= value <= 1000) (default: 8) (in the pipeline: train_epochs)"),
        ("recommend", "(in the pipeline: users_uri)"),
    ],
)
def test_help_has_the_name_of_a_parameter_in_the_pipeline(
    name: str, description: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsing.parse(load_stage(name), ["--help"])
    assert description in " ".join(capsys.readouterr().out.split())


def test_every_command_is_listed_with_its_description() -> None:
    result = subprocess.run([sys.executable, "-m", "ncf", "--help"], capture_output=True, text=True, check=True)
    for name in command.commands():
        line = next(line for line in result.stdout.splitlines() if line.strip().startswith(f"{name} "))
        assert len(line.split()) > 3, line


@pytest.mark.parametrize("name", command.commands())
def test_every_parameter_is_described(name: str) -> None:
    stage = command.load(name)
    for field_name, field in stage.model_fields.items():
        assert field.description, f"{name}: {field_name}"
        assert field.is_required() or field.get_default(call_default_factory=True) is not None, f"{name}: {field_name}"


def test_commands_load_without_what_only_a_run_needs() -> None:
    code = (
        "import sys\nfrom ncf.stage import command\n[command.load(name) for name in command.commands()]\n"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'boto3', 'matplotlib', 'fastapi', 'kfp') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_without_docstrings_commands_explain_themselves_as_with_them() -> None:
    code = "import sys\nfrom ncf.stage import command\ncommand.main(sys.argv[1:])"
    for arguments in (["--help"], ["preprocess", "--help"]):
        plain, optimised = (
            subprocess.run([sys.executable, *flags, "-c", code, *arguments], capture_output=True, text=True, check=True)
            for flags in ([], ["-OO"])
        )
        assert plain.stdout == optimised.stdout
    program = "from ncf.stage import command\nprint({name: command.load(name).__doc__ for name in command.commands()})"
    optimised = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True, check=True)
    assert literal_eval(optimised.stdout) == {name: command.load(name).__doc__ for name in command.commands()}


def test_unknown_command_and_bad_input_exit_with_2_and_one_line(tmp_path: Path) -> None:
    for given in (["evalute"], ["negative-sampling", "--dataset", str(tmp_path / "nowhere")]):
        result = subprocess.run([sys.executable, "-m", "ncf", *given], capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith("ncf: error: ")
        assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*samples*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("nohup", [False, True])
def test_an_end_by_a_signal_leaves_nothing_behind(tmp_path: Path, number: int, nohup: bool) -> None:
    program = (
        "import sys, time\nsys.path.insert(0, sys.argv[1])\nfrom ncf.stage import execution, exits\nfrom test_command import Sum\n"
        "def wait(self):\n    self.total.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
        "Sum.run = wait\n"
        "with exits.interruptible():\n    execution.run(Sum, sys.argv[2:])\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent), *arguments(tmp_path / "numbers", out)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    process.send_signal(number)
    if nohup and number == signal.SIGHUP:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        number = signal.SIGTERM
    assert process.wait(10) == 128 + number
    assert time.monotonic() - start < 5
    assert not out.exists()


def test_kubernetes_is_given_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr("ncf.termination_message.LOG", log)
    with pytest.raises(SystemExit):
        exits.fail("x")
    assert not log.exists(), "there is none outside of Kubernetes"
    log.touch()
    with pytest.raises(SystemExit):
        exits.fail("a" * 5000 + " the reason", status=1)
    assert log.read_text().endswith(" the reason")
    assert len(log.read_text()) == 4096


def test_it_is_given_although_nobody_reads_stderr_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr("ncf.termination_message.LOG", log)
    monkeypatch.setattr(sys, "stderr", Broken())
    with pytest.raises(BrokenPipeError):
        exits.fail("the reason of \udcff")
    assert log.read_text() == r"the reason of \udcff"


@pytest.mark.parametrize("program", [["-m", "ncf", "--help"], ["pipeline.py", "compile", "--help"]])
def test_a_reader_that_has_gone_ends_a_command_quietly(program: list[str]) -> None:
    with subprocess.Popen([sys.executable, *program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode in (0, 128 + signal.SIGPIPE)


def test_a_misspelt_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in (("srve", "did you mean serve?"), ("zzz", "expected one of: check, deploy")):
        with pytest.raises(SystemExit, match="2"):
            command.main([name])
        assert f"'{name}' is not a command of ncf; {said}" in capsys.readouterr().err
