"""A compiled step that cannot be loaded is a warning, and torch trains. It is loaded only where it is used."""

from __future__ import annotations

import logging
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.networks import Network
from ncf.training import kernel
from ncf.training.backends import make_source
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel import Kernel, building, structures
from ncf.training.loop import FitLoop
from ncf.training.trainer import Trainer, model_config

from .conftest import Folders

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
AARCH64 = 183
SETTINGS = {"model": "neumf", "factors": 8, "tower": [16, 8], "epochs": 2, "batch_size": 500}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the compiled step, which is loaded next."""
    copy = Path(shutil.copy(structures.LIBRARY, tmp_path))
    monkeypatch.setattr(structures, "LIBRARY", copy)
    structures.library.cache_clear()
    yield copy
    structures.library.cache_clear()


@pytest.fixture
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        pytest.fail("it was looked for")

    structures.library.cache_clear()
    monkeypatch.setattr(structures, "_load", load)


def small(dropout: float = 0.0, mixed_precision: bool = False, layers: int = 1) -> Network:
    config = ModelConfig(model="neumf", factors=4, tower=[8, *[4] * layers], n_users=5, n_items=5)
    return Network(config, 5, dropout, mixed_precision=mixed_precision)


def code_of(library: Path) -> bytes:
    content = library.read_bytes()
    return content[: -building._SEAL_BYTES]


def truncated(library: Path) -> bytes:
    return library.read_bytes()[:300_000]


def empty(library: Path) -> bytes:
    return b""


def of_another_machine(library: Path) -> bytes:
    code = code_of(library)
    return building.sealed(code[:18] + struct.pack("<H", AARCH64) + code[20:])


def for_a_later_c_library(library: Path) -> bytes:
    return building.sealed(re.sub(rb"\0GLIBC_2\.\d\d\0", b"\0GLIBC_9.99\0", code_of(library), count=1))


def without_a_function(library: Path) -> bytes:
    return building.sealed(code_of(library).replace(b"\0ncf_deal\0", b"\0ncf_dea1\0"))


UNUSABLE = [
    (truncated, "it is not whole"),
    (empty, "it is not whole"),
    (of_another_machine, "cannot open shared object file|wrong ELF"),
    (for_a_later_c_library, "version `GLIBC_9.99' not found"),
    (without_a_function, "undefined symbol: ncf_deal"),
]


@pytest.mark.parametrize(("spoilt", "reason"), UNUSABLE)
def test_a_library_that_cannot_be_loaded_is_one_warning(
    library: Path, spoilt: Callable[[Path], bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    library.write_bytes(spoilt(library))
    assert not kernel.is_available()
    assert not Kernel.fits(small())
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(f"torch trains.* {re.escape(str(library))} cannot be used: .*({reason})", record.message)
    assert "building.py" in record.message


def test_one_that_is_not_there_is_a_warning_too(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    library.unlink()
    assert not kernel.is_available()
    assert re.search(f"{re.escape(str(library))} cannot be used: it is not there", caplog.text)


def test_of_the_processes_of_a_host_one_says_it(
    library: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.unlink()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not kernel.is_available()
    assert not caplog.records


def test_one_compiled_from_other_sources_is_not_loaded(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its structures may differ from structures.py's, and it would write where it should not."""
    assert kernel.is_available()
    structures.library.cache_clear()
    others = tmp_path / "others"
    shutil.copytree(building.KERNEL, others, ignore=shutil.ignore_patterns("*.so"))
    header = others / "structures.h"
    header.write_text(header.read_text().replace("int64_t rows, width;", "int32_t rows, width;"))
    monkeypatch.setattr(building, "KERNEL", others)
    assert not kernel.is_available()
    assert "compiled from other sources" in caplog.text


def test_a_run_without_it_gives_what_torch_alone_gives(
    library: Path, folders: Folders, one_thread: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library.write_bytes(for_a_later_c_library(library))
    dataset, samples = folders.load()
    found = Trainer(dataset, samples, Hyperparameters(**SETTINGS), World(0, 1, CPU)).run()
    assert len([record for record in caplog.records if "GLIBC_9.99" in record.message]) == 1
    monkeypatch.setattr(kernel, "is_available", lambda: False)
    expected = Trainer(dataset, samples, Hyperparameters(**SETTINGS), World(0, 1, CPU)).run()
    assert expected.keys() == found.keys() == {"final", "hosted"}
    for fit, weights in expected.items():
        for name, weight in weights.items():
            np.testing.assert_array_equal(found[fit][name], weight, err_msg=f"{fit} {name}")


def test_it_is_not_looked_for_where_it_cannot_do_the_network(never_asked: None) -> None:
    assert not Kernel.fits(small().to(ELSEWHERE))
    assert not Kernel.fits(small(dropout=0.1))
    assert not Kernel.fits(small(mixed_precision=True))
    assert not Kernel.fits(small(layers=structures.MOST_LAYERS + 1))


@pytest.mark.parametrize("on_device", [True, False])
def test_it_is_not_looked_for_on_another_device(never_asked: None, folders: Folders, on_device: bool) -> None:
    """Steps that run whole on the device, and those of several processes; a device without numbers stands for a GPU."""
    settings = Hyperparameters(**SETTINGS)
    dataset, samples = folders.load()
    device = CPU if on_device else ELSEWHERE
    config = model_config(settings, dataset)
    network = Network(config, dataset.n_users, 0.0).to(device)
    users = range(dataset.n_users)
    source = make_source(dataset.train, None, samples.exclusion, users, config, 4, [1], ELSEWHERE)
    shares, bounds = np.array([len(dataset.train.items)]), np.array([0, dataset.n_users])
    popularity = np.bincount(dataset.train.items, minlength=dataset.n_items)
    FitLoop(network, source, shares, bounds, popularity, settings, World(0, 1, device), [1], on_device)
