"""The training container's program under SageMaker's contract."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from warm_python import shared_python

from ncf.artifacts.model_folder import ModelFolder
from ncf.errors import InputError
from ncf.stage.parsing import parse
from ncf.training import sagemaker_program
from ncf.training.fit import Fit
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.launch import Hosts
from ncf.training.sagemaker_program import fit_arguments, training_hosts

from .conftest import Folders

PROGRAM = Path(__file__).parents[2] / "images" / "train" / "train"
QUICK = {"factors": "4", "batch_size": "100", "learning_rate": "0.1", "epochs": "2", "device": "cpu"}


@pytest.fixture
def make_root(folders: Folders, tmp_path: Path):
    def make(name: str, hyperparameters: dict[str, str], **resources: object) -> Path:
        root = tmp_path / name
        for part in ("input/config", "input/data", "model", "output", "checkpoints"):
            (root / part).mkdir(parents=True)
        (root / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
        (root / "input/config/resourceconfig.json").write_text(json.dumps(resources))
        shutil.copytree(folders.dataset, root / "input/data/dataset")
        shutil.copytree(folders.samples, root / "input/data/samples")
        return root

    return make


def start(root: Path, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(shared_python().parent), os.environ["PATH"]])  # `python`, as images have it
    return subprocess.Popen(
        [str(PROGRAM)],
        env={**os.environ, "PATH": path, "NCF_ML_ROOT": str(root), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_leaves_the_model_in_its_folder(make_root) -> None:
    root = make_root("job", {**QUICK, "sagemaker_region": '"eu-west-1"'}, current_host="algo-1", hosts=["algo-1"])
    process = start(root)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert ModelFolder.load(root / "model").config.factors == 4
    assert "fit=final epoch=1" in output
    assert "validation_hr_at_10" in json.loads((root / "output/data/metrics.json").read_text())
    assert list((root / "checkpoints").iterdir())
    assert not (root / "output/failure").exists()
    assert {path.name for path in root.iterdir()} == {"input", "model", "output", "checkpoints"}


@pytest.mark.slow
def test_goes_on_from_the_model_in_its_channel(make_root) -> None:
    first = make_root("first", QUICK, current_host="algo-1", hosts=["algo-1"])
    assert start(first).wait(timeout=60) == 0
    second = make_root("second", {**QUICK, "epochs": "1"}, current_host="algo-1", hosts=["algo-1"])
    shutil.copytree(first / "model", second / "input/data/warm_start")
    process = start(second)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    cold, warm = (ModelFolder.load(root / "model").history["selection"][0] for root in (first, second))
    assert warm["loss"] < cold["loss"]


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [({"factor": "8"}, "factor; expected some of model, epochs"), ({"epochs": "many"}, "'epochs' is 'many'")],
)
def test_says_in_the_failure_file_what_to_mend(make_root, hyperparameters: dict[str, str], reason: str) -> None:
    root = make_root("job", hyperparameters)
    process = start(root)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert reason in (root / "output/failure").read_text()
    assert "Traceback" not in output
    assert not list((root / "model").iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_is_the_reason_of_a_failure(tmp_path: Path, monkeypatch, capsys, number: int) -> None:
    def train(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv(sagemaker_program.ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sagemaker_program, "_train", train)
    with pytest.raises(SystemExit, match="2"):
        sagemaker_program.main()
    assert (tmp_path / "output" / "failure").read_text() == f"output: {os.strerror(number)}"
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_two_hosts_train_one_model(make_root, unused_port: int) -> None:
    addresses = json.dumps({"algo-1": f"127.0.0.1:{unused_port}", "algo-2": "127.0.0.1"})
    hosts = {"hosts": ["algo-1", "algo-2"], "network_interface_name": "lo"}
    roots = [make_root(name, QUICK, current_host=name, **hosts) for name in hosts["hosts"]]
    processes = [start(root, NCF_HOST_ADDRESSES=addresses) for root in roots]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    first, second = roots
    assert ModelFolder.load(first / "model").config.factors == 4
    assert not list((second / "model").iterdir())


def test_every_hyperparameter_may_be_passed(tmp_path: Path) -> None:
    values = {name: str(field.default) for name, field in Hyperparameters.model_fields.items()}
    assert "--learning-rate" in fit_arguments(values, {"trained_model": tmp_path})


def test_what_sagemaker_adds_is_no_hyperparameter(tmp_path: Path) -> None:
    """Keys of its SDK and of tuning jobs, and values in JSON."""
    added = {
        "_tuning_objective_metric": "validation:ndcg",
        "_something_new": "1",
        "sagemaker_program": '"train.py"',
        "sagemaker_job_name": "x",
    }
    given = {"model": '"gmf"', "epochs": '"3"', "tower": '"[64, 32]"', "dropout": "0.1", "pretrain": "false"}
    arguments = fit_arguments({**given, **added}, {"dataset": tmp_path, "samples": tmp_path})
    fit = parse(Fit, arguments)
    assert isinstance(fit, Fit)
    assert (fit.model, fit.epochs, fit.tower, fit.dropout, fit.pretrain) == ("gmf", 3, [64, 32], 0.1, False)
    with pytest.raises(InputError, match="unknown hyperparameters: tuning_metric; expected some of"):
        fit_arguments({"tuning_metric": "x", **added}, {})


def test_hosts_meet_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"], "network_interface_name": "eth0"}
    assert training_hosts(resources) == Hosts(2, 1, "algo-1:29400", "eth0")
    monkeypatch.setenv("NCF_HOST_ADDRESSES", '{"algo-1": "10.0.0.7"}')
    assert training_hosts(resources).rendezvous == "10.0.0.7:29400"
    with pytest.raises(InputError, match="algo-3"):
        training_hosts({**resources, "current_host": "algo-3"})
