"""``ncf verify``: the same bytes, or what differs and the likely cause."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_account import BUCKET, local_account
from model_packages import clients, new_group, new_package, specification
from safetensors.numpy import load_file, save_file
from warm_python import shared_python

import ncf
from ncf.artifacts import manifest
from ncf.artifacts.forgotten import write
from ncf.artifacts.model_folder import HISTORY, HOSTED_WEIGHTS, WEIGHTS
from ncf.errors import InputError
from ncf.operators.verification import again
from ncf.operators.verify import Verify
from ncf.sagemaker.registry import properties
from ncf.stage.command import load
from ncf.stage.execution import run
from ncf.storage import upload

SETTINGS = ("--epochs=1", "--factors=8", "--device=cpu", "--threads=1")


@dataclass(frozen=True)
class Lineage:
    """Raw data, and all that was made of it."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make(self, *settings: str) -> Lineage:
        """Prepare, sample and fit."""
        files = {name: self.path(name) for name in ("report", "metrics")}
        common = [f"--metrics={files['metrics']}"]
        run(load("preprocess"), [f"--interactions={self.path('ratings.csv')}", f"--dataset={self.path('dataset')}",
                                 f"--report={files['report']}", *common])  # fmt: skip
        run(load("negative-sampling"), [f"--dataset={self.path('dataset')}", f"--samples={self.path('samples')}",
                                        "--candidates=20"])  # fmt: skip
        run(load("fit"), [*self.inputs(), f"--trained-model={self.path('model')}", *common, *SETTINGS, *settings])
        return self

    def inputs(self) -> list[str]:
        return [f"--{name}={self.path(name)}" for name in ("dataset", "samples")]

    def copy(self, folder: Path) -> Lineage:
        shutil.copytree(self.folder, folder)
        return Lineage(folder)


def write_ratings(path: Path, seed: int = 3) -> None:
    random = np.random.default_rng(seed)
    rows = [
        f"u{user},i{item},{1_000_000_000 + 1000 * user + 10 * place}"
        for user in range(40)
        for place, item in enumerate(random.permutation(60)[:8])
    ]
    path.write_text("\n".join(["user,item,timestamp", *rows]) + "\n")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    folder = tmp_path_factory.mktemp("lineage")
    write_ratings(folder / "ratings.csv")
    return Lineage(folder).make()


@pytest.fixture
def lineage(made: Lineage, tmp_path: Path) -> Lineage:
    return made.copy(tmp_path / "lineage")


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Stages run in this process, which has imported torch."""

    def ran(command: str, values: Mapping[str, Any]) -> None:
        run(load(command), [f"--{name.replace('_', '-')}={again._text(value)}" for name, value in values.items()])

    if "as_processes" not in request.fixturenames:
        monkeypatch.setattr(again, "_run", ran)


@pytest.fixture
def as_processes(quick_pods: None) -> None:
    """Stages run as processes, as they do for operators."""


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(model: str, *arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            run(Verify, [model, *arguments])
        return int(str(ended.value.code)), capsys.readouterr().out

    return call


Call = Callable[..., tuple[int, str]]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest."""
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def mend(folder: Path) -> None:
    """Write the checksums of a manifest anew."""
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    path.unlink()
    manifest.write(folder, *(content[key] for key in ("kind", "counts", "parameters", "source")))


def tamper(folder: Path, name: str, tensor: str = "item_bias.weight") -> None:
    """Change one number of the weights."""
    weights = load_file(folder / name)
    weights[tensor].reshape(-1)[4] += 0.25
    save_file(weights, folder / name)


def test_a_fit_gives_the_same_bytes_again(lineage: Lineage, verify: Call, as_processes: None) -> None:
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, said.splitlines()[-1]) == (0, "same bytes")
    for name in (WEIGHTS, HOSTED_WEIGHTS):
        assert f"{name:<21}the same bytes, fitted again" in said


def test_a_model_and_raw_data_are_enough(lineage: Lineage, verify: Call) -> None:
    for name in ("dataset", "samples"):
        shutil.rmtree(lineage.folder / name)
    status, said = verify(lineage.path("model"), "--data", lineage.path("ratings.csv"))
    assert (status, said.splitlines()[-1]) == (0, "same bytes")
    assert "the bytes that the data set was read from" in said


def test_inputs_are_found_where_the_job_read_them(lineage: Lineage, verify: Call) -> None:
    places = {name: lineage.path(name) for name in ("dataset", "samples")}
    edit(lineage.folder / "model", lambda content: content["source"].update(locations=places))
    assert verify(lineage.path("model"))[0] == 0


def test_without_its_inputs_a_fit_is_not_compared(lineage: Lineage, verify: Call) -> None:
    status, said = verify(lineage.path("model"), "--dataset", lineage.path("dataset"))
    assert status == 0, "the samples are drawn again"
    status, said = verify(lineage.path("model"))
    assert (status, "a new fit needs --dataset and --samples, or --data" in said) == (3, True)


@pytest.mark.parametrize("name", [WEIGHTS, HOSTED_WEIGHTS])
def test_a_changed_weight_has_another_checksum(lineage: Lineage, verify: Call, name: str) -> None:
    path = lineage.folder / "model" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, f"{name}: checksum differs from the manifest's" in said) == (1, True)


@pytest.mark.parametrize(("name", "other"), [(WEIGHTS, HOSTED_WEIGHTS), (HOSTED_WEIGHTS, WEIGHTS)])
def test_a_changed_weight_is_found_although_the_checksums_were_mended(
    lineage: Lineage, verify: Call, name: str, other: str
) -> None:
    tamper(lineage.folder / "model", name)
    mend(lineage.folder / "model")
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert status == 1
    last = said.splitlines()[-1]
    assert last.startswith(
        f"different: {name}: first tensor that differs: 'item_bias.weight', in 1 of 60 numbers; at [4"
    )
    assert "likely cause: the weights or the manifest were changed after the fit" in last
    assert f"{other:<21}the same bytes, fitted again" in said


def test_other_files_of_a_model_are_compared_too(lineage: Lineage, verify: Call) -> None:
    path = lineage.folder / "model" / "popularity.npy"
    counts = np.load(path)
    counts[0] += 1
    np.save(path, counts)
    mend(lineage.folder / "model")
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, "other files: popularity.npy" in said) == (1, True)


def test_other_raw_data_are_named(lineage: Lineage, verify: Call) -> None:
    write_ratings(lineage.folder / "ratings.csv", seed=4)
    status, said = verify(lineage.path("model"), "--data", lineage.path("ratings.csv"), *lineage.inputs())
    assert status == 1
    assert "different: raw data: other data: ratings.csv: not the bytes that the data set was read from" in said
    assert "another data set, prepared again; likely cause: the raw data" in said


def test_raw_data_with_other_bytes_and_the_same_content_are_named_too(lineage: Lineage, verify: Call) -> None:
    path = lineage.folder / "ratings.csv"
    path.write_text(path.read_text().replace(",", ", "))
    status, said = verify(lineage.path("model"), "--data", str(path))
    assert status == 1
    assert "files ratings.csv are not the bytes that ratings.csv had" in said
    assert "the same bytes of the data set, prepared again" in said


def test_lists_of_forgotten_users_that_have_grown_are_named(lineage: Lineage, verify: Call) -> None:
    lists = lineage.folder / "forgotten"
    lists.mkdir()
    write(lists, ["u3"])
    arguments = [f"--interactions={lineage.path('ratings.csv')}", f"--dataset={lineage.path('dataset')}"]
    outputs = [f"--{name}={lineage.path(name)}" for name in ("report", "metrics")]
    run(load("preprocess"), [*arguments, f"--forgotten-uri={lists}", *outputs])
    run(load("negative-sampling"), [*lineage.inputs(), "--candidates=20"])
    run(load("fit"), [*lineage.inputs(), f"--trained-model={lineage.path('model')}", outputs[1], *SETTINGS])
    given = (lineage.path("model"), "--data", lineage.path("ratings.csv"), *lineage.inputs())
    assert verify(*given)[0] == 0
    write(lists, ["u5"])
    status, said = verify(*given)
    assert (status, "are not those of the time of the fit" in said.splitlines()[-1]) == (3, True)
    assert f"{HOSTED_WEIGHTS:<21}the same bytes, fitted again" in said


def test_another_data_set_is_named(lineage: Lineage, verify: Call, tmp_path: Path) -> None:
    write_ratings(lineage.folder / "ratings.csv", seed=4)
    arguments = ["--interactions", lineage.path("ratings.csv"), "--dataset", str(tmp_path / "other")]
    run(load("preprocess"), [*arguments, *(f"--{name}={tmp_path / name}" for name in ("report", "metrics"))])
    status, said = verify(lineage.path("model"), "--dataset", str(tmp_path / "other"))
    assert (status, "different: dataset: other data:" in said) == (1, True)


def test_another_seed_in_the_manifest_is_named(lineage: Lineage, verify: Call) -> None:
    edit(lineage.folder / "model", lambda content: content["parameters"].update(seed=99))
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert status == 1
    assert "different: settings: seed is 99 in the manifest," in said.splitlines()[-1]


def test_another_seed_in_all_files_gives_other_weights(lineage: Lineage, verify: Call) -> None:
    model = lineage.folder / "model"
    history = json.loads((model / HISTORY).read_text())
    history["hyperparameters"]["seed"] = 99
    (model / HISTORY).write_text(json.dumps(history))
    edit(model, lambda content: content["parameters"].update(seed=99))
    mend(model)
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert status == 1
    assert "first tensor that differs: 'item_bias.weight', in" in said
    assert "or the seed or another setting is not the one that was used" in said


def test_other_code_is_named(lineage: Lineage, verify: Call, tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(Path(ncf.__file__).parent, copy / "ncf", ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "ncf" / "models" / "history_network.py"
    text = path.read_text()
    assert "init_std" in text
    settings = copy / "ncf" / "artifacts" / "model_folder.py"
    settings.write_text(settings.read_text().replace("RECENCY_RATE = 10.0", "RECENCY_RATE = 11.0"))
    shutil.rmtree(lineage.folder / "model")
    flags = [*lineage.inputs(), f"--trained-model={lineage.path('model')}", f"--metrics={lineage.path('metrics')}"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "NCF_COMMIT": "0ddc0de"}
    command = [str(shared_python()), "-m", "ncf", "fit", *flags, *SETTINGS]
    subprocess.run(command, check=True, env=environment, cwd=copy)
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert status == 1
    assert "likely cause: code: ncf 0.1.0, commit 0ddc0de, code " in said.splitlines()[-1]


def test_other_code_that_gives_the_same_bytes_is_no_difference(lineage: Lineage, verify: Call) -> None:
    edit(lineage.folder / "model", lambda content: content["source"].update(code="f" * 64))
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, "other code gives the same bytes" in said) == (0, True)


@pytest.mark.parametrize(
    ("name", "value"), [("torch", "1.0"), ("hardware", "x86_64 other CPU"), ("compiled_step", "f" * 64)]
)
def test_another_machine_is_named(lineage: Lineage, verify: Call, name: str, value: str) -> None:
    tamper(lineage.folder / "model", WEIGHTS)
    mend(lineage.folder / "model")
    edit(lineage.folder / "model", lambda content: content["source"]["machine"].update({name: value}))
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, value[:12] in said.splitlines()[-1]) == (1, True)


def test_of_a_model_fitted_on_a_gpu_the_origin_is_shown_and_the_weights_are_not(lineage: Lineage, verify: Call) -> None:
    edit(lineage.folder / "model", lambda content: content["source"]["machine"].update(device="cuda"))
    status, said = verify(lineage.path("model"), *lineage.inputs(), "--data", lineage.path("ratings.csv"))
    assert status == 3
    assert said.count("same ") >= 5
    assert "fitted on a GPU" in said.splitlines()[-1]


def test_a_warm_start_is_part_of_the_chain(lineage: Lineage, verify: Call) -> None:
    earlier = lineage.path("model")
    second = lineage.path("second")
    run(load("fit"), [*lineage.inputs(), *SETTINGS, f"--warm-start={earlier}", f"--trained-model={second}",
                      f"--metrics={lineage.path('metrics')}"])  # fmt: skip
    assert verify(second, *lineage.inputs(), "--warm-start", earlier)[0] == 0
    status, said = verify(second, *lineage.inputs())
    assert (status, "a new fit needs --warm-start" in said) == (3, True)
    status, said = verify(second, *lineage.inputs(), "--warm-start", second)
    assert (status, "different: warm_start: other data" in said) == (1, True)


def test_a_manifest_names_no_other_outputs(lineage: Lineage, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    edit(lineage.folder / "model", lambda content: content["parameters"].update(checkpoints=str(checkpoints)))
    history = lineage.folder / "model" / HISTORY
    history.write_text(json.dumps({**json.loads(history.read_text()), "hyperparameters": None}))
    mend(lineage.folder / "model")
    with pytest.raises(InputError, match="hyperparameters checkpoints, which this version of ncf does not know"):
        run(Verify, [lineage.path("model"), *lineage.inputs()])
    assert not checkpoints.exists()


def test_a_model_of_an_earlier_version_is_not_fitted_again(lineage: Lineage, verify: Call) -> None:
    edit(lineage.folder / "model", lambda content: content["source"].pop("machine"))
    status, said = verify(lineage.path("model"), *lineage.inputs())
    assert (status, "names no machine: an earlier version wrote it" in said) == (3, True)
    edit(lineage.folder / "model", lambda content: content["source"].pop("sampling"))
    with pytest.raises(InputError, match=r"has no source\.sampling"):
        run(Verify, [lineage.path("model"), "--data", lineage.path("ratings.csv")])


def test_what_is_no_model_is_invalid_input(lineage: Lineage) -> None:
    for model in (lineage.path("dataset"), lineage.path("nowhere")):
        with pytest.raises(InputError, match=model):
            run(Verify, [model])
    (lineage.folder / "model" / WEIGHTS).unlink()
    with pytest.raises(InputError, match=f"{WEIGHTS}: missing"):
        run(Verify, [lineage.path("model")])


def test_a_package_is_verified_by_its_fingerprints_and_its_model(
    lineage: Lineage, verify: Call, tmp_path: Path
) -> None:
    with local_account(tmp_path):
        uri = f"s3://{BUCKET}/lineage/model"
        upload(lineage.folder / "model", uri)
        content = manifest.read(lineage.folder / "model", "model")
        recorded = {
            properties.RUN: "run-1",
            properties.MODEL_DIGEST: manifest.fingerprint(content),
            properties.FINGERPRINT: content["source"]["fingerprint"],
        }
        aws = clients()
        group = new_group(aws, "verified")
        arn = new_package(aws, group, InferenceSpecification=specification(uri), CustomerMetadataProperties=recorded)
        for name in (arn, "verified/1", "verified"):
            status, said = verify(name, *lineage.inputs())
            assert (status, said.splitlines()[-1]) == (0, "same bytes")
        assert f"same     package              verified version 1, PendingManualApproval, of run run-1: {uri}" in said
        tamper(lineage.folder / "model", WEIGHTS)
        mend(lineage.folder / "model")
        upload(lineage.folder / "model", uri)
        status, said = verify(arn, *lineage.inputs())
        assert (status, "different: package: verified version 1 records" in said) == (1, True)
        new_package(aws, group, InferenceSpecification=specification(uri))
        status, said = verify("verified", *lineage.inputs())
        assert "verified version 2 records no fingerprint of its model" in said
        for name in ("verified/7", "nothing"):
            with pytest.raises(InputError, match=f"{name}: no such file or folder, and no model package: there is no"):
                run(Verify, [name])
